"""Room on the nodes: what pods ask for, and what is free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.deploy.pods import owns, pod_count
from infra.manifests.objects import Object, at, kubectl_kind, name, part, template

_QUANTITY: Final = re.compile(r"([0-9.]+(?:[eE][+-]?\d+)?)(m|k|[KMGTP]i|[MGTP]|)")
_UNITS: Final = {
    "m": 1e-3,
    "": 1,
    "k": 10**3,
    **{letter: 10 ** (3 * power) for power, letter in enumerate("MGTP", 2)},
    **{f"{letter}i": 1 << (10 * power) for power, letter in enumerate("KMGTP", 1)},
}
_MIB: Final = 1 << 20
#: What Serving gives its queue-proxy where the ConfigMap config-deployment says nothing.
_SIDECAR: Final = {"cpu": "25m", "memory": "0"}
_AWAY: Final = {"NoSchedule", "NoExecute"}
#: They end, or there is no pod of theirs most of the time.
_PASSING: Final = {"job"}


@dataclass(frozen=True)
class Room:
    """CPU in thousandths of a core, and memory."""

    cpu_m: int = 0
    memory_b: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpu_m + other.cpu_m, self.memory_b + other.memory_b)

    def __sub__(self, other: Room) -> Room:
        return Room(self.cpu_m - other.cpu_m, self.memory_b - other.memory_b)

    def holds(self, other: Room) -> bool:
        """Tell whether *other* fits in."""
        return self.cpu_m >= other.cpu_m and self.memory_b >= other.memory_b

    def __str__(self) -> str:
        return f"{self.cpu_m}m CPU and {self.memory_b // _MIB} MiB"


def amount(quantity: object) -> float:
    """Return a quantity of Kubernetes as a number."""
    found = _QUANTITY.fullmatch(str(quantity or 0))
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def room(amounts: Mapping[str, Any] | None) -> Room:
    """Return the room that requests, or a node's allocatable, name."""
    named = amounts or {}
    return Room(round(1000 * amount(named.get("cpu"))), round(amount(named.get("memory"))))


def asked(pod_spec: Object) -> Room:
    """Return what a pod asks for: all its containers, or the largest that runs before them."""
    requests = [_request(each) for each in pod_spec.get("containers", ())]
    first = [_request(each) for each in pod_spec.get("initContainers", ())]
    together = sum(requests, Room())
    return Room(
        max([together.cpu_m, *(each.cpu_m for each in first)]),
        max([together.memory_b, *(each.memory_b for each in first)]),
    )


def _request(container: Object) -> Room:
    # Without a request the limit is one.
    limits = at(container, "resources", "limits") or {}
    return room({**limits, **(at(container, "resources", "requests") or {})})


def sidecar(settings: Mapping[str, str]) -> Room:
    """Return what each pod of a Knative Service has beside, by the ConfigMap config-deployment."""
    keys = {resource: f"queue-sidecar-{resource}-request" for resource in _SIDECAR}
    return room({each: settings.get(key, _SIDECAR[each]) for each, key in keys.items()})


def wanted(objects: Iterable[Object], beside: Room) -> list[tuple[str, Room]]:
    """Return what each pod of *objects* asks for, *beside* that of a Knative Service too."""
    found = []
    for each in objects:
        pods = template(each)
        if pods is not None and kubectl_kind(each) not in _PASSING:
            one = asked(part(pods, "spec")) + (beside if kubectl_kind(each) == "ksvc" else Room())
            found += [(name(each), one)] * pod_count(each)
    return found


def free(nodes: Iterable[Object], pods: Iterable[Object], ours: Sequence[Object]) -> list[Room]:
    """Return what is free on each node that takes pods, once *ours* were gone."""
    left = {name(each): room(at(each, "status", "allocatable")) for each in nodes if takes(each)}
    for pod in pods:
        node = at(pod, "spec", "nodeName")
        if node in left and not _replaced(pod, ours):
            left[node] -= asked(pod["spec"])
    return list(left.values())


def takes(node: Object) -> bool:
    """Tell whether pods without tolerations may come to *node*."""
    taints = at(node, "spec", "taints") or ()
    away = any(each.get("effect") in _AWAY for each in taints)
    return not away and not at(node, "spec", "unschedulable")


def _replaced(pod: Object, ours: Sequence[Object]) -> bool:
    where = at(pod, "metadata", "namespace")
    return any(at(each, "metadata", "namespace") == where and owns(each, pod) for each in ours)


def unplaced(pods: Iterable[tuple[str, Room]], places: Iterable[Room]) -> tuple[str, Room] | None:
    """Return the first pod that finds no node, the largest being placed first."""
    left = list(places)
    largest = sorted(pods, key=lambda pod: (pod[1].cpu_m, pod[1].memory_b), reverse=True)
    for pod in largest:
        fitting = [number for number, place in enumerate(left) if place.holds(pod[1])]
        if not fitting:
            return pod
        left[fitting[0]] -= pod[1]
    return None
