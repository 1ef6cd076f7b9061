"""A kubectl that plays a cluster from a small JSON file: run as a program, on PATH.

The state holds what kustomize renders, which kinds are served, the live objects and the logs; and
*fates*: what an object's status becomes, one look after the other, once it was applied. Without a
fate it is Ready at once. Every call is noted.
"""

import json
import os
import sys

ALIASES = {"nodes": "node", "pods": "pod", "secrets": "secret", "ingresses": "ingress"}
DONE = {"conditions": [{"type": "Complete", "status": "True"}]}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Refused(Exception):
    """What kubectl would say on stderr."""


def tell(text):
    """Write a line."""
    sys.stdout.write(f"{text}\n")


def kind(of):
    """The kind as kubectl names it, a Knative Service apart."""
    found = of["kind"].lower()
    return "ksvc" if found == "service" and "knative" in of["apiVersion"] else found


def title(of):
    """Kind and name."""
    return f"{kind(of)}/{of['metadata']['name']}"


def status(of):
    """The status of what is all right."""
    if kind(of) in {"deployment", "statefulset"}:
        count = of["spec"].get("replicas", 1)
        return dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), count)
    return DONE if kind(of) == "job" else READY


class Cluster:
    """The state, and what kubectl does to it."""

    def __init__(self, state):
        self.state = state

    @property
    def objects(self):
        """Everything live."""
        return self.state["objects"]

    def find(self, name):
        """The live object called so."""
        return next((each for each in self.objects if title(each) == name), None)

    def look(self, live):
        """The object as it is at this look."""
        fate = self.state["fates"].get(title(live))
        if fate:
            told = fate.pop(0) if len(fate) > 1 else fate[0]
            live["status"] = {**live.get("status", {}), **told}
        return live

    def apply(self, wanted, dry):
        """Make it as wanted."""
        for each in wanted:
            there = self.find(title(each))
            if kind(each) == "job" and there:
                raise Refused(f"Job {title(each)} is invalid: field is immutable")
            told = "unchanged" if there else "created"
            tell(f"{title(each)} {told}{' (server dry run)' if dry else ''}")
            if not dry:
                self.put(each, there)

    def put(self, wanted, there):
        """Store an object, with a generation of its own and a status that follows."""
        before = there["metadata"].get("generation", 0) if there else 0
        metadata = {**wanted["metadata"], "generation": before + 1}
        live = {**wanted, "metadata": metadata}
        live["status"] = {**status(wanted), "observedGeneration": before + 1}
        self.objects[:] = [each for each in self.objects if each is not there] + [live]

    def get(self, arguments, stdin):
        """What is asked for, as a list."""
        if "--filename=-" in arguments:
            names = {title(each) for each in stdin}
        else:
            words = [each for each in arguments if not each.startswith("--")]
            of_kind = ALIASES.get(words[0].partition(".")[0], words[0].partition(".")[0])
            names = {f"{of_kind}/{name}" for name in words[1:]}
            if not names:
                names = {title(each) for each in self.objects if kind(each) == of_kind}
        found = [self.look(each) for each in self.objects if title(each) in names]
        label = next((a.split("=")[1] for a in arguments if a.startswith("--selector=")), "")
        return [e for e in found if not label or label in e["metadata"].get("labels", {})]


def answer(cluster, state, arguments, stdin):
    """Do one call."""
    verb, *rest = arguments
    if verb in state["refuses"]:
        raise Refused(state["refuses"][verb])
    if verb == "config":
        tell("kind-test")
    elif verb == "kustomize":
        kustomize(state, rest[0])
    elif verb == "annotate":
        tell("\n".join(json.dumps(each, indent=1) for each in stdin))
    elif verb == "get":
        get(cluster, state, rest, stdin)
    elif verb == "apply":
        cluster.apply(stdin, "--dry-run=server" in rest)
    elif verb == "delete":
        gone = {title(each) for each in stdin} or {each for each in rest if "/" in each}
        cluster.objects[:] = [each for each in cluster.objects if title(each) not in gone]
    elif verb == "logs":
        tell(state["logs"].get(rest[0] + ("/previous" if "--previous" in rest else ""), ""))


def kustomize(state, folder):
    """Render what the state holds; note a kustomization that was made for it."""
    with open(f"{folder}/kustomization.yaml") as file:  # noqa: PTH123 - pathlib loads slowly
        made = file.read()
    if made.startswith("{"):
        state["kustomized"].append(json.loads(made))
    tell(json.dumps(state["rendered"]))


def get(cluster, state, rest, stdin):
    """Answer ``get``."""
    if rest[0] == "--raw":
        if not state["answers"]:
            raise Refused("The connection to the server localhost:8080 was refused")
        version = rest[1].removeprefix("/apis/").removeprefix("/api/")
        if version not in state["served"] and version != "/version":
            raise Refused("Error from server (NotFound): the server could not find the resource")
        tell(json.dumps({"resources": [{"kind": k} for k in state["served"].get(version, ())]}))
        return
    if rest[0] in state["forbids"]:
        raise Refused(f'Error from server (Forbidden): {rest[0]} is forbidden: User "me"')
    found = cluster.get(rest, stdin)
    if "--output=name" in rest:
        tell("\n".join(title(each) for each in found))
    elif any(each.startswith("--output=go-template") for each in rest):
        tell(" ".join(key for each in found for key in each.get("data", {})))
    elif len(found) == 1:
        tell(json.dumps(found[0]))
    elif found or "--ignore-not-found" not in rest:
        tell(json.dumps({"kind": "List", "items": found}))


def items(text):
    """The objects of what came in: a List, or what ``kustomize`` rendered."""
    found = json.loads(text) if text.strip() else []
    return found["items"] if isinstance(found, dict) and "items" in found else found


def main():
    """One call of kubectl."""
    with open(os.environ["STAND_IN"]) as file:  # noqa: PTH123
        state = json.load(file)
    arguments = sys.argv[1:]
    namespace = ""
    if arguments[0] == "--namespace":
        namespace, arguments = arguments[1], arguments[2:]
    reads = "--filename=-" in arguments
    stdin = items(sys.stdin.read()) if reads else []
    said = [title(each) for each in stdin]
    state["calls"].append({"at": namespace, "argv": arguments, "objects": said})
    code = 0
    try:
        answer(Cluster(state), state, arguments, stdin)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        code = 1
    with open(os.environ["STAND_IN"], "w") as file:  # noqa: PTH123
        json.dump(state, file)
    return code


if __name__ == "__main__":
    sys.exit(main())
