"""The order in which the objects of an overlay are applied, and taken away again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from infra.manifests.objects import Object, kubectl_kind, name, title

#: The simulated lines.
LINES: Final = "deployment/gateway"
_FIRST: Final = ("namespace", "configmap", "secret", "serviceaccount", "networkpolicy", "service")
_GROUND: Final = {
    *_FIRST,
    *("role", "rolebinding", "poddisruptionbudget", "persistentvolumeclaim"),
    *("statefulset", "job"),
}
#: What others publish to: its address must be known before they start.
_SINKS: Final = {"kafkasink", "broker", "deployment"}


@dataclass(frozen=True)
class Stages:
    """Objects by when they are applied; each stage is Ready before the next begins.

    Attributes:
        ground: What the others stand on: settings, accounts, policies, Redis, the topics.
        sinks: What events are sent to, and what else waits for nobody.
        road: Bindings, functions and sources.
        lines: What starts the calls.
    """

    ground: tuple[Object, ...]
    sinks: tuple[Object, ...]
    road: tuple[Object, ...]
    lines: tuple[Object, ...]

    @property
    def before_calls(self) -> tuple[Object, ...]:
        """All that must be Ready before the first call."""
        return self.ground + self.sinks + self.road


def stages(objects: Iterable[Object]) -> Stages:
    """Return *objects* in stages, each in the order in which it is best made."""
    found: dict[str, list[Object]] = {"ground": [], "sinks": [], "road": [], "lines": []}
    for each in sorted(objects, key=_rank):
        found[_stage(each)].append(each)
    return Stages(**{stage: tuple(listed) for stage, listed in found.items()})


def _stage(of: Object) -> str:
    if title(of) == LINES:
        return "lines"
    if kubectl_kind(of) in _GROUND:
        return "ground"
    return "sinks" if kubectl_kind(of) in _SINKS else "road"


def _rank(of: Object) -> tuple[int, int, str]:
    what = kubectl_kind(of)
    first = _FIRST.index(what) if what in _FIRST else len(_FIRST)
    # A function that starts after its binding has its sink from the first revision on.
    return first, what != "sinkbinding", name(of)
