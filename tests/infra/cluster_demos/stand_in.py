"""A kubectl, kn and sleep that play a cluster with live calls, in which all happens at once.

The state holds the lines, the decoder's settings and revisions, and who owns which channel.
*faults* name what does not happen: moves, steps, spread, scores, wakes, sleeps, revision. One may
name a call at which the demo is interrupted.
"""

import json
import os
import signal
import sys

AUTOSCALING = "autoscaling.knative.dev/"


class Calls:
    """The cluster as one demo sees it."""

    def __init__(self, state):
        self.state = state

    def fails(self, what):
        """Whether this does not happen."""
        return what in self.state["faults"]

    def pods(self):
        """The decoders of the revision that has all traffic, or of both."""
        return [pod for revision in self.state["revisions"] for pod in revision["pods"]]

    def new_revision(self):
        """Start a revision with as many pods as are wanted; all calls move to it."""
        if self.fails("revision"):
            return
        number = self.state["made"] = self.state["made"] + 1
        scale = max(1, int(self.state["notes"].get("min-scale", 1)))
        name = f"decoder-{number:05}"
        pods = [f"{name}-deployment-{each}" for each in range(scale)]
        pinned = "@latest" not in self.state["traffic"]
        kept = self.state["revisions"] if pinned else []
        self.state["revisions"] = [*kept, {"name": name, "pods": pods}]
        self.state["latest"] = name
        if not pinned:
            self.share(pods)

    def route(self):
        """Give the calls to the revisions that have traffic, and drop the others."""
        if self.state["traffic"] == "@latest":
            names = [self.state["latest"]]
        else:
            names = [
                each.split("=")[0].replace("@latest", self.state["latest"])
                for each in self.state["traffic"].split()
                if not each.endswith("=0")
            ]
        kept = [each for each in self.state["revisions"] if each["name"] in names]
        newest = self.state["revisions"][-1]
        if kept and newest not in kept and self.state["latest"] == newest["name"]:
            newest["pods"] = []
        self.state["revisions"] = [*kept, *([newest] if newest not in kept else [])]
        self.share(self.pods())

    def share(self, pods):
        """Move the channels that a pod that is no more owned; or all of them if it is a new set."""
        for number, channel in enumerate(self.state["channels"].values()):
            if channel["owner"] in pods and len(self.state["revisions"]) == 1:
                continue
            if self.fails("moves"):
                continue
            channel["owner"] = pods[0 if self.fails("spread") else number % len(pods)]
            channel["moves"] += 1

    def lines(self, count):
        """Let so many lines speak."""
        self.state["lines"] = count
        owner = self.pods()[0]
        self.state["channels"] = {
            f"line-{number}/agent": {"owner": owner, "moves": 0, "seq": 5}
            for number in range(count)
        }

    def delete(self, pod):
        """Delete a pod: another comes, and takes its calls."""
        revision = self.state["revisions"][-1]
        revision["pods"] = [f"{pod}-again" if each == pod else each for each in revision["pods"]]
        for number, channel in enumerate(self.state["channels"].values()):
            mine = channel["owner"] == pod
            if mine and self.fails("ends"):
                channel["ended"] = True
            elif mine and not self.fails("moves"):
                channel["owner"] = f"{pod}-again"
                channel["moves"] += 1
            elif not mine and self.fails("others") and number < 2:
                channel["owner"] = f"{pod}-again"

    def sessions(self):
        """What sessions.py tells."""
        lives = {
            name: each for name, each in self.state["channels"].items() if not each.get("ended")
        }
        for number, pod in enumerate(self.pods()):
            owned = sum(each["owner"] == pod for each in lives.values())
            tell(f"pod id-{pod} http://10.0.0.{number}:8080 {owned}")
        for name, each in lives.items():
            each["seq"] += 0 if self.fails("steps") else 1
            known = each["owner"] in self.pods()
            tell(f"session {name} {each['moves']} {each['seq']} id-{each['owner'] if known else 0}")


def tell(text):
    """Write a line."""
    sys.stdout.write(f"{text}\n")


def option(arguments, name):
    """The value after an option, or ""."""
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def kn(calls, arguments):
    """Answer kn."""
    if arguments[:2] != ["service", "update"]:
        return tell("Traffic Targets:\n  50%\n")
    state, rest = calls.state, arguments[2:]
    before = json.dumps([state["notes"], state["env"]], sort_keys=True)
    targets = []
    for at, each in enumerate(rest):
        value = rest[at + 1] if at + 1 < len(rest) else ""
        if each in {"--scale-min", "--scale-max"}:
            state["notes"][f"{each[8:]}-scale"] = value
        elif each == "--annotation-revision":
            set_or_drop(state["notes"], value.removeprefix(AUTOSCALING))
        elif each == "--env":
            set_or_drop(state["env"], value)
        elif each == "--traffic":
            targets.append(value)
    least, most = (int(state["notes"].get(each, 0)) for each in ("min-scale", "max-scale"))
    if most and most < least:
        sys.exit("max-scale is less than min-scale")
    if targets:
        state["traffic"] = " ".join(targets)
        calls.route()
    if json.dumps([state["notes"], state["env"]], sort_keys=True) != before:
        calls.new_revision()
    return None


def set_or_drop(values, told):
    """Set what ``name=value`` says, or drop ``name-``."""
    name, equals, value = told.partition("=")
    if equals:
        values[name] = value
    else:
        values.pop(name.removesuffix("-"), None)


def get(calls, arguments):
    """Answer ``kubectl get``."""
    state, wanted = calls.state, option(arguments, "--output")
    if arguments[0] == "deployment":
        tell(state["lines"])
    elif arguments[0] == "ksvc":
        tell(of_service(state, wanted))
    elif arguments[0] == "pod":
        sys.exit(0 if arguments[1] in calls.pods() else 1)
    elif wanted == "name":
        revision = option(arguments, "--selector").partition("=")[2]
        found = [each for each in state["revisions"] if each["name"] == revision]
        tell("\n".join(f"pod/{pod}" for each in found for pod in each["pods"]))
    elif "service=sentiment" in " ".join(arguments):
        for number in range(state["sentiment"]):
            tell(f"sentiment-{number} 10.0.1.{number} up")
    elif "containers" in wanted:
        tell(f"{calls.pods()[-1]} user-container True")
    else:
        for number, pod in enumerate(calls.pods()):
            tell(f"{pod} 10.0.0.{number} {'ending' if calls.fails('settles') else 'up'}")


def of_service(state, wanted):
    """A field of the decoder's Service."""
    if "latestReadyRevisionName" in wanted:
        return state["latest"]
    if ".status.traffic" in wanted:
        return " ".join(each["name"] for each in state["revisions"])
    if "env" in wanted:
        return state["env"].get("VOSK_MODEL_PATH", "")
    if ".spec.traffic" in wanted:
        return json.dumps([{"latestRevision": True, "percent": 100}])
    return state["notes"].get(wanted.rstrip("}").rpartition("/")[2], "")


def run(calls, arguments):
    """Answer ``kubectl exec`` of a Python file."""
    state, words = calls.state, arguments[arguments.index("-") + 1 :]
    if not words:
        calls.sessions()
    elif words[0] == "publish":
        state["published"] = int(words[2])
        state["sentiment"] = 0 if calls.fails("wakes") else 1
    else:
        tell(0 if calls.fails("scores") else state["published"])
        if not calls.fails("sleeps"):
            state["sentiment"] = 0


def kubectl(calls, arguments):
    """Answer kubectl."""
    state, verb, rest = calls.state, arguments[2], arguments[3:]
    if verb == "get":
        get(calls, rest)
    elif verb == "exec":
        run(calls, rest)
    elif verb == "scale":
        calls.lines(int(rest[-1]))
    elif verb == "delete":
        calls.delete(rest[1])
    elif verb == "patch":
        state["patched"] = option(rest, "--patch")
        state["traffic"] = "@latest"
        calls.route()


def main():
    """One call of one of the programs."""
    program, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]  # noqa: PTH119 - loads slowly
    if program == "sleep":
        return
    with open(os.environ["STAND_IN"]) as file:  # noqa: PTH123
        state = json.load(file)
    calls = Calls(state)
    line = " ".join([program, *arguments])
    state["calls"].append(line)
    at = state["interrupt"]
    state["interrupt"] = "" if at and at in line else at
    try:
        (kn if program == "kn" else kubectl)(calls, arguments)
    finally:
        with open(os.environ["STAND_IN"], "w") as file:  # noqa: PTH123
            json.dump(state, file)
    if at and at in line:
        # As Ctrl-C on a terminal does.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.killpg(0, signal.SIGINT)


if __name__ == "__main__":
    main()
