"""The one condition to mend first, when something does not get Ready."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.deploy import pods, readiness
from infra.deploy.kubectl import CommandFailed, Kubectl
from infra.deploy.pods import Trouble, owns
from infra.manifests.objects import Object, at, kubectl_kind, title

#: After the pods' own troubles, in the order in which they depend on each other.
_KINDS: Final = (
    *("job", "statefulset", "kafkasink", "broker", "kafkasource", "containersource"),
    *("sinkbinding", "trigger", "ksvc", "deployment"),
)
_HASHES: Final = ("pod-template-hash", "controller-revision-hash")
_NO_IMAGE: Final = "Unable to fetch image"
_MEND_POD: Final = {
    pods.IMAGE: "push the image, or name one that the nodes can pull: --image NAME:TAG",
    pods.CONFIG: "make the Secret, ConfigMap or key that it names",
    pods.ROOM: "add a node, or lower the requests in an overlay of your own",
    pods.CRASH: "mend what its log says",
    pods.SILENT: "mend what its log says",
}
_MEND: Final = {
    "job": "see kubectl -n {namespace} describe job; KAFKA_BROKERS must be reachable (--brokers)",
    "statefulset": "see kubectl -n {namespace} describe statefulset",
    "kafkasink": "see that its topic is there and KAFKA_BROKERS is right (--brokers)",
    "broker": "see kubectl -n {namespace} describe broker, and the config that it names",
    "kafkasource": "see that KAFKA_BROKERS is right (--brokers) and its sink is Ready",
    "containersource": "see kubectl -n {namespace} describe containersource",
    "sinkbinding": "see that its sink is Ready and Knative Eventing's webhook runs",
    "trigger": "see that its broker and its subscriber are Ready",
    "ksvc": "see kubectl -n {namespace} describe ksvc, and kn revision list",
}
_MEND_ANY: Final = "see kubectl -n {namespace} describe"


@dataclass(frozen=True)
class Waiting:
    """An object that is not Ready: as *wanted*, as it is there now if it is, and what it lacks."""

    wanted: Object
    live: Object | None
    lack: str

    def __str__(self) -> str:
        return f"{title(self.wanted)} ({self.lack})"


def condition(kubectl: Kubectl, waiting: Sequence[Waiting]) -> str:
    """Return what is wrong, the most fundamental of all, and what to do."""
    found = _trouble(kubectl, waiting)
    if found is None:
        first = min(waiting, key=_rank)
        mend = _MEND.get(kubectl_kind(first.wanted), _MEND_ANY).format(namespace=kubectl.namespace)
        if _NO_IMAGE in first.lack:
            mend = _MEND_POD[pods.IMAGE]
        return f"{title(first.wanted)}: {first.lack}\n  -> {mend}"
    whose, trouble = found
    what = _what(kubectl, trouble)
    return f"{title(whose)}: pod {trouble.pod}: {what}\n  -> {_MEND_POD[trouble.rank]}"


def _rank(waiting: Waiting) -> tuple[bool, int]:
    what = kubectl_kind(waiting.wanted)
    place = _KINDS.index(what) if what in _KINDS else len(_KINDS)
    return _NO_IMAGE not in waiting.lack, place


def _trouble(kubectl: Kubectl, waiting: Sequence[Waiting]) -> tuple[Object, Trouble] | None:
    """Return the most fundamental trouble of the pods of what is waiting, if there is any."""
    if any(_NO_IMAGE in each.lack for each in waiting):
        return None
    found = kubectl.objects("pods")
    named = [
        (_rank(each), each.wanted, trouble)
        for each in waiting
        for pod in _pods_of(each, found)
        for trouble in pods.troubles(pod)
        if not _is_passing(each, trouble)
    ]
    ranked = sorted(named, key=lambda item: (item[2].rank, item[0]))
    return (ranked[0][1], ranked[0][2]) if ranked else None


def _pods_of(waiting: Waiting, found: Iterable[Object]) -> list[Object]:
    """Return its pods as they are to be: those that are made like the youngest."""
    mine = sorted((pod for pod in found if owns(waiting.wanted, pod)), key=_made_at)
    return [pod for pod in mine if _made_of(pod) == _made_of(mine[-1])]


def _made_at(pod: Object) -> str:
    return str(at(pod, "metadata", "creationTimestamp"))


def _made_of(pod: Object) -> list[str]:
    """Return the labels that differ between the pods of one template and another."""
    return [str(at(pod, "metadata", "labels", each)) for each in _HASHES]


def _is_passing(waiting: Waiting, trouble: Trouble) -> bool:
    """A Job's pod is never ready: what runs there is no trouble."""
    return kubectl_kind(waiting.wanted) == "job" and trouble.rank == pods.SILENT


def _what(kubectl: Kubectl, trouble: Trouble) -> str:
    if trouble.rank < pods.CRASH:
        return trouble.what
    last = last_line(kubectl, trouble.pod, trouble.container)
    return f"{trouble.what}; its log ends: {last}" if last else trouble.what


def last_line(kubectl: Kubectl, pod: str, container: str) -> str:
    """Return the last line that a container wrote, before it was restarted if not since."""
    for when in ((), ("--previous",)):
        try:
            written = kubectl.text("logs", pod, f"--container={container}", "--tail=1", *when)
        except CommandFailed:
            continue
        if written.strip():
            return written.strip()
    return ""


def of_failed(waiting: Iterable[Waiting]) -> list[Waiting]:
    """Return what will not get Ready however long one waits."""
    return [each for each in waiting if each.live and readiness.has_failed(each.live)]
