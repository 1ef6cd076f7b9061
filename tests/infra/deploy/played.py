"""A cluster that a stand-in kubectl plays, and the command run against it."""

from __future__ import annotations

import json
import subprocess
import sys

from infra.deploy import __main__ as command
from tests.infra.standins import ROOT

STAND_IN = ROOT / "tests" / "infra" / "deploy" / "stand_in.py"
NAMESPACE = "linewatch"
SERVED = {
    "v1": ["Namespace", "ConfigMap", "Secret", "ServiceAccount", "Service"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "batch/v1": ["Job", "CronJob"],
    "serving.knative.dev/v1": ["Service"],
    "sources.knative.dev/v1": ["KafkaSource", "SinkBinding", "ContainerSource"],
    "eventing.knative.dev/v1": ["Broker", "Trigger"],
    "eventing.knative.dev/v1alpha1": ["KafkaSink"],
}


def made(version, kind, name, spec=None, **more):
    """Return an object of the namespace."""
    body = {"apiVersion": version, "kind": kind, **more}
    where = {} if kind in {"Namespace", "Node", "StorageClass"} else {"namespace": NAMESPACE}
    body["metadata"] = {"name": name, **where, **more.get("metadata", {})}
    return body if spec is None else {**body, "spec": spec}


def template(cpu="100m", memory="64Mi", labels=None, **pod):
    """Return the template of a pod with one container of our image."""
    requests = {"cpu": cpu, "memory": memory}
    container = {"name": "it", "image": "registry:5000/linewatch:1"}
    container |= {"resources": {"requests": requests}, **pod.pop("container", {})}
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": [container], **pod}}


def deployment(name, replicas=1, **how):
    """Return a Deployment."""
    labels = {"app": name}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}}
    return made("apps/v1", "Deployment", name, {**spec, "template": template(labels=labels, **how)})


def ksvc(name, **how):
    """Return a Knative Service."""
    return made("serving.knative.dev/v1", "Service", name, {"template": template(**how)})


def redis(**claim):
    """Return a StatefulSet that wants a volume."""
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], **claim}}]
    labels = {"app": "redis"}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "volumeClaimTemplates": claims}
    return made("apps/v1", "StatefulSet", "redis", {**spec, "template": template(labels=labels)})


def kafka_source(name, version="v1"):
    """Return a KafkaSource."""
    spec = {"bootstrapServers": ["kafka:9092"], "topics": ["utterances"]}
    return made(f"sources.knative.dev/{version}", "KafkaSource", name, spec)


def kafka_sink(name, **spec):
    """Return a KafkaSink."""
    body = {"topic": name, "bootstrapServers": ["kafka:9092"], **spec}
    return made("eventing.knative.dev/v1alpha1", "KafkaSink", name, body)


def application():
    """Return a small application that has one of each."""
    return [
        deployment("gateway", 8, cpu="25m"),
        kafka_source("sentiment"),
        ksvc("sentiment"),
        made("sources.knative.dev/v1", "SinkBinding", "sentiment", {"subject": {}}),
        kafka_sink("scores"),
        deployment("dashboard"),
        made("batch/v1", "Job", "topics", {"template": template()}),
        redis(),
        made("v1", "ConfigMap", "linewatch", data={"KAFKA_BROKERS": "kafka:9092"}),
        made("v1", "ConfigMap", "linewatch-topics", data={"utterances": "12", "scores": "12"}),
        made("v1", "Namespace", NAMESPACE),
    ]


def node(cpu="2", memory="4Gi", **spec):
    """Return a node."""
    return made("v1", "Node", "one", spec, status={"allocatable": {"cpu": cpu, "memory": memory}})


def storage_class(default="true"):
    """Return a StorageClass."""
    notes = {"storageclass.kubernetes.io/is-default-class": default}
    return made("storage.k8s.io/v1", "StorageClass", "fast", metadata={"annotations": notes})


def pod(name, labels, *, phase="Running", states=(), placed="True", message="", made_at="", **spec):
    """Return a pod; *states* are its containers' (state, restarts)."""
    statuses = [
        {"name": "it", "image": "registry:5000/linewatch:1", "restartCount": count, **state}
        for state, count in states
    ]
    conditions = [{"type": "PodScheduled", "status": placed, "message": message}]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": statuses}
    metadata = {"labels": labels, "name": name, "namespace": NAMESPACE}
    metadata |= {"creationTimestamp": made_at}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
    return {**body, "spec": {"nodeName": "one", **template()["spec"], **spec}}


def not_ready(reason, message=""):
    """Return the status of what is not Ready."""
    told = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return {"conditions": [told]}


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self):
        self.now_s = 0.0

    def clock(self):
        """Now."""
        return self.now_s

    def sleep(self, seconds):
        """Let time pass."""
        self.now_s += seconds


class Played:
    """The cluster, which a test may change before it runs the command."""

    def __init__(self, folder, monkeypatch, capsys):
        self._file = folder / "state.json"
        self._capsys = capsys
        self.overlay = folder / "overlay"
        self.overlay.mkdir()
        (self.overlay / "kustomization.yaml").write_text("# the user's own\n")
        self.programs = folder / "programs"
        self.programs.mkdir()
        program = self.programs / "kubectl"
        program.write_text(f"#!{sys.executable} -IS\n{STAND_IN.read_text()}")
        program.chmod(0o755)
        self.path = f"{self.programs}:/usr/bin:/bin"
        monkeypatch.setenv("PATH", self.path)
        monkeypatch.setenv("STAND_IN", str(self._file))
        self.time = Time()
        self.rendered = application()
        self.objects = [node(), storage_class()]
        self.served = {version: list(kinds) for version, kinds in SERVED.items()}
        self.fates = {}
        self.logs = {}
        self.forbids = []
        self.refuses = {}
        self.answers = True
        self.state = {}

    def _write(self):
        names = ("rendered", "objects", "served", "fates", "logs", "forbids", "refuses", "answers")
        state = {each: getattr(self, each) for each in names}
        self._file.write_text(json.dumps({**state, "calls": [], "kustomized": []}))

    def _read(self):
        self.state = json.loads(self._file.read_text())
        self.objects = self.state["objects"]

    def run(self, *arguments):
        """Run the command on the overlay: (exit status, what it said)."""
        self._write()
        told = [str(self.overlay), *arguments]
        code = command.main(told, self.time.clock, self.time.sleep)
        self._read()
        return code, self._capsys.readouterr().out

    def script(self, *arguments, **env):
        """Run the script as a user does."""
        self._write()
        done = subprocess.run(
            ["sh", str(ROOT / "infra" / "deploy.sh"), *arguments],
            env={"PATH": self.path, "STAND_IN": str(self._file), "PYTHON": sys.executable, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        self._read()
        return done.returncode, done.stdout + done.stderr

    def called(self, verb):
        """Return the calls of kubectl *verb*, in order."""
        return [each for each in self.state["calls"] if each["argv"][0] == verb]

    def applied(self):
        """Return what was applied, one list a call."""
        return [each["objects"] for each in self.called("apply")]

    def titles(self):
        """Return what is there now."""
        return {
            f"{'ksvc' if 'serving' in each['apiVersion'] else each['kind'].lower()}"
            f"/{each['metadata']['name']}"
            for each in self.objects
        }
