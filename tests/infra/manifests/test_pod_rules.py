"""Holds the rules of pods to seeing each breach."""

from __future__ import annotations

import pytest

from infra.manifests import pod_rules
from tests.infra.manifests.changed import GONE, changed, one

_POD = "spec/template/spec"
_BOX = f"{_POD}/containers/0"
_SECURITY = f"{_BOX}/securityContext"
_SCALING = "spec/template/metadata/annotations"


def _faults(kind, name, path, value):
    return [*pod_rules.faults(changed(one(kind, name), path, value))]


def test_other_objects_are_passed_over():
    """What makes no pods breaks no rule of pods."""
    assert [*pod_rules.faults(one("Service", "redis"))] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{_POD}/serviceAccountName", GONE, "serviceAccountName"),
        (f"{_POD}/automountServiceAccountToken", True, "automountServiceAccountToken: false"),
        (f"{_POD}/enableServiceLinks", GONE, "enableServiceLinks: false"),
        (f"{_POD}/hostNetwork", True, "hostNetwork is not restricted"),
        (f"{_POD}/volumes/0", {"name": "tmp", "hostPath": {"path": "/"}}, "may not mount it"),
        (f"{_POD}/volumes/0", {"name": "tmp", "emptyDir": {}}, "set emptyDir.sizeLimit"),
        (f"{_SECURITY}/allowPrivilegeEscalation", True, "allowPrivilegeEscalation must be False"),
        (f"{_SECURITY}/capabilities", {"add": ["NET_ADMIN"]}, "capabilities must be"),
        (f"{_SECURITY}/readOnlyRootFilesystem", GONE, "readOnlyRootFilesystem must be True"),
        (f"{_SECURITY}/runAsNonRoot", False, "runAsNonRoot must be True"),
        (f"{_SECURITY}/runAsUser", 0, "runAsUser must name a user that is not root"),
        (f"{_SECURITY}/seccompProfile", {"type": "Unconfined"}, "seccompProfile must be"),
        (f"{_BOX}/resources/limits/memory", GONE, "resources.limits: set memory"),
        (f"{_BOX}/resources/requests", GONE, "resources.requests: set cpu, memory"),
        (f"{_BOX}/imagePullPolicy", "Always", "imagePullPolicy: IfNotPresent"),
        (f"{_BOX}/env/0", {"name": "TOKEN", "value": "x"}, "TOKEN belongs in a Secret"),
        (f"{_BOX}/env/0", {"name": "TOKEN_FILE", "value": "/tmp/t"}, "TOKEN_FILE must lie in"),
        (f"{_BOX}/readinessProbe", GONE, "set readinessProbe"),
        (f"{_BOX}/livenessProbe", GONE, "set livenessProbe"),
        ("spec/template/metadata/labels", {}, "no NetworkPolicy finds them"),
    ],
)
@pytest.mark.parametrize(("kind", "name"), [("Deployment", "gateway"), ("ksvc", "board")])
def test_pod_fault_is_seen(kind, name, path, value, said):
    """A pod that is less than restricted, bounded or probed is named with what it lacks."""
    (fault,) = _faults(kind, name, path, value)
    assert said in fault


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "metadata/annotations",
            {"autoscaling.knative.dev/min-scale": "1"},
            "belong on the template",
        ),
        (_SCALING, {"other": "1"}, "say how it scales"),
        (f"{_POD}/containerConcurrency", 0, "containerConcurrency must be above 0"),
        (f"{_POD}/timeoutSeconds", 59, "timeoutSeconds must be 60 at least"),
        (f"{_POD}/timeoutSeconds", GONE, "timeoutSeconds must be 60 at least"),
        (f"{_POD}/securityContext", {}, "securityContext is off in Knative"),
        (
            f"{_BOX}/env/0",
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            "IP: the Downward API is off",
        ),
    ],
)
def test_knative_fault_is_seen(path, value, said):
    """What Knative's webhook refuses, or its defaults would hurt, is named."""
    (fault,) = _faults("ksvc", "sentiment", path, value)
    assert said in fault


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("min-scale", "0", "min-scale must be 1 at least"),
        ("min-scale", GONE, "min-scale must be 1 at least"),
        ("target-burst-capacity", GONE, 'target-burst-capacity must be "0"'),
        ("metric", "concurrency", 'metric must be "rps"'),
        ("scale-down-delay", GONE, "set scale-down-delay"),
    ],
)
def test_decoder_fault_is_seen(name, value, said):
    """The decoder holds calls: it may not scale as a function does."""
    annotations = dict(one("ksvc", "decoder").template["metadata"]["annotations"])
    del annotations[f"autoscaling.knative.dev/{name}"]
    annotations |= {} if value is GONE else {f"autoscaling.knative.dev/{name}": value}
    (fault,) = _faults("ksvc", "decoder", _SCALING, annotations)
    assert said in fault


def test_job_needs_no_probe():
    """A Job ends by itself, so nothing asks whether it is alive."""
    for job in (one("Job", "topics"), one("CronJob", "missing")):
        assert "livenessProbe" not in job.pod["containers"][0]
        assert [*pod_rules.faults(job)] == []


def test_pods_of_cron_jobs_are_seen():
    """The pods of a CronJob lie deeper, and are held to the same rules."""
    path = f"spec/jobTemplate/{_BOX}/securityContext/runAsNonRoot"
    (fault,) = _faults("CronJob", "missing", path, False)
    assert "runAsNonRoot must be True" in fault
