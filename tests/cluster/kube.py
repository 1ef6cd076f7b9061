"""The cluster the tests run on: the one of KUBECONFIG, or the box beside the project."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import partial

from tests.support import waiting
from tests.support.source import ROOT

BOX = ROOT.parent / "shared" / "box" / "box"
NAMESPACE = "linewatch"
#: Python inside the image.
PYTHON = ("sh", "/app/infra/image/entrypoint.sh", "python")
_NEEDED = ("KUBECONFIG", "BOOTSTRAP", "GATEWAY")
#: A cluster is asked once a second.
eventually = partial(waiting.eventually, every_s=1.0)


class Unusable(Exception):
    """There is no cluster to test on; the text is one line."""


def run(*command, env=None, stdin=None, timeout_s=120, check=True):
    """Run a command and return what it wrote; its last words are in the failure."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        told = f"{done.stdout}\n{done.stderr}".strip()
        raise AssertionError(f"{' '.join(map(str, command))[:200]} failed: {told[-1500:]}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod that is not about to end."""

    name: str
    ip: str
    revision: str
    containers: tuple[str, ...]
    ready: bool

    @property
    def address(self):
        """How other pods reach its app."""
        return f"http://{self.ip}:8080"


def _pod(item):
    conditions = item["status"].get("conditions", [])
    return Pod(
        item["metadata"]["name"],
        item["status"].get("podIP", ""),
        item["metadata"].get("labels", {}).get("serving.knative.dev/revision", ""),
        tuple(each["name"] for each in item["spec"]["containers"]),
        any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
    )


class Cluster:
    """kubectl, kn and the addresses of one cluster, all in the namespace of Linewatch."""

    def __init__(self, env, *, is_box):
        self.env = {**os.environ, **env, "NAMESPACE": NAMESPACE}
        self.is_box = is_box
        self.bootstrap = self.env["BOOTSTRAP"]
        self.gateway = self.env["GATEWAY"]

    def kubectl(self, *arguments, **how):
        """Run kubectl."""
        return run("kubectl", "-n", NAMESPACE, *arguments, env=self.env, **how)

    def kn(self, *arguments, **how):
        """Run kn; *arguments* end with those of the command."""
        return run("kn", *arguments, "-n", NAMESPACE, env=self.env, **how)

    def get(self, *arguments):
        """Return what ``kubectl get`` tells, as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def pods(self, selector):
        """Return the pods that *selector* finds, without those that are ending or have ended."""
        items = self.get("pods", "-l", selector)["items"]
        here = [
            each for each in items if each["status"].get("phase") not in {"Succeeded", "Failed"}
        ]
        return [_pod(each) for each in here if "deletionTimestamp" not in each["metadata"]]

    def pods_of(self, service):
        """Return the pods of a Knative Service, without those that are ending."""
        return self.pods(f"serving.knative.dev/service={service}")

    def execute(self, pod, *command, **how):
        """Run a command in a pod's first container."""
        return self.kubectl("exec", "-i", pod.name, "-c", pod.containers[0], "--", *command, **how)

    def python(self, pod, script, *arguments, **how):
        """Run a Python script where Linewatch is installed."""
        return self.execute(pod, *PYTHON, "-", *arguments, stdin=script, **how)

    def secret(self, name, key):
        """Return one value of a Secret."""
        template = f'{{{{index .data "{key}" | base64decode}}}}'
        return self.kubectl("get", "secret", name, "-o", f"go-template={template}")

    def host(self, service):
        """Return the host name by which the gateway knows a Knative Service."""
        url = self.kubectl("get", "ksvc", service, "-o", "jsonpath={.status.url}")
        return url.partition("://")[2]

    def demo(self, name, timeout_s=600, **env):
        """Run a demo script and return what it showed."""
        script = ROOT / "infra" / "cluster_demos" / f"{name}.sh"
        shown = run("bash", script, env={**self.env, **env}, timeout_s=timeout_s)
        print(shown)  # noqa: T201 - what `pytest -s` is for
        return shown


def _box_env():
    names = ("KUBECONFIG", "PATH", "BOOTSTRAP", "GATEWAY")
    script = f'eval "$("{BOX}" env)"; ' + "; ".join(f'echo "${name}"' for name in names)
    return dict(zip(names, run("bash", "-c", script).splitlines(), strict=True))


def _start_box():
    if not BOX.exists():
        raise Unusable("no KUBECONFIG is set and ../shared/box is not here: there is no cluster")
    _box("up")
    _box("policies", "on")
    return _box_env()


def _box(*arguments):
    done = subprocess.run([BOX, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Unusable(f"../shared/box/box {' '.join(arguments)} failed: {last[-300:]}")


def connect():
    """Return the cluster to test on; the box is started where KUBECONFIG names no other.

    Raises:
        Unusable: there is none; says why in one line.
    """
    named = os.environ.get("KUBECONFIG", "")
    box = _box_env() if BOX.exists() else {}
    if not named or named == box.get("KUBECONFIG"):
        return Cluster(_start_box(), is_box=True)
    missing = [name for name in (*_NEEDED, "IMAGE") if not os.environ.get(name)]
    if missing:
        raise Unusable(f"KUBECONFIG names a cluster of yours: set {', '.join(missing)} too")
    return Cluster({}, is_box=False)
