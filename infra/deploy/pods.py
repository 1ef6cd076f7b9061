"""The pods of an object: how many, which, and why one does not work, by its status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from infra.deploy.readiness import condition
from infra.manifests.objects import Object, at, kubectl_kind, name, template

SERVICE_LABEL: Final = "serving.knative.dev/service"
_MIN_SCALE: Final = "autoscaling.knative.dev/min-scale"
_JOB: Final = "job-name"
_SOURCE: Final = "sources.knative.dev/containerSource"
#: From the most fundamental on: what is wrong further down may follow from what is wrong above.
IMAGE, CONFIG, ROOM, CRASH, SILENT = range(5)
_IMAGE: Final = {
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "RegistryUnavailable"),
}
_CONFIG: Final = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a pod; a crash and silence are explained by the *container*'s log."""

    rank: int
    pod: str
    container: str
    what: str


def pod_count(of: Object) -> int:
    """Return how many pods it has at least while it works; a function at zero has to wake."""
    if kubectl_kind(of) == "ksvc":
        return max(1, int(at(template(of), "metadata", "annotations", _MIN_SCALE) or 0))
    wanted = at(of, "spec", "replicas")
    return 1 if wanted is None else int(wanted)


def owns(of: Object, pod: Object) -> bool:
    """Tell whether *pod* is one of those that *of* makes."""
    labels = at(pod, "metadata", "labels") or {}
    what = kubectl_kind(of)
    if what in {"ksvc", "job", "containersource"}:
        label = {"ksvc": SERVICE_LABEL, "job": _JOB, "containersource": _SOURCE}[what]
        return bool(labels.get(label) == name(of))
    if what == "cronjob":
        return str(labels.get(_JOB, "")).startswith(f"{name(of)}-")
    selector = at(of, "spec", "selector", "matchLabels") or {}
    return bool(selector) and selector.items() <= labels.items()


def troubles(pod: Object) -> Iterator[Trouble]:
    """Say what is wrong with *pod*."""
    placed = condition(pod, "PodScheduled")
    if placed.get("status") == "False":
        yield Trouble(ROOM, name(pod), "", str(placed.get("message") or placed.get("reason")))
    for status in _statuses(pod):
        yield from _of_container(name(pod), status)


def _statuses(pod: Object) -> list[Any]:
    first = at(pod, "status", "initContainerStatuses") or []
    return [*first, *(at(pod, "status", "containerStatuses") or [])]


def _of_container(pod: str, status: Object) -> Iterator[Trouble]:
    container = str(status.get("name"))
    waits = at(status, "state", "waiting") or {}
    reason = str(waits.get("reason") or "")
    waiting = f"{reason}: {waits.get('message') or status.get('image')}"
    if reason in _IMAGE:
        yield Trouble(IMAGE, pod, container, waiting)
    elif reason in _CONFIG:
        yield Trouble(CONFIG, pod, container, waiting)
    elif has_crashed(status):
        yield Trouble(CRASH, pod, container, _ended(status))
    elif at(status, "state", "running") is not None and not status.get("ready"):
        yield Trouble(SILENT, pod, container, "runs but is not ready")


def has_crashed(status: Object) -> bool:
    """Tell whether a container ended badly and is not back, or not for long."""
    return any(
        at(status, state, "terminated", "exitCode") and not status.get("ready")
        for state in ("state", "lastState")
    )


def _ended(status: Object) -> str:
    ended = at(status, "state", "terminated") or at(status, "lastState", "terminated")
    reason, code = ended.get("reason") or "Error", ended.get("exitCode")
    return f"{reason} with status {code}, {status.get('restartCount', 0)} restarts"
