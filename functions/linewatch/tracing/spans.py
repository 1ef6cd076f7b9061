"""Spans from the chunk to the score: what a role tells of its work. No I/O.

A span's ids are those of the ``traceparent`` of the event that the work led to.
So whoever takes an event knows its parent without being told, and a call's trace
is found from the call's id (`linewatch.trace_context`). Spans carry times and
positions, never words, names or ids of calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from cloudevents.core.v1.event import CloudEvent

_TRACEPARENT: Final = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Work that began at *began_ns* and ends when it is told.

    Its ids are *traceparent*'s; *parent* is another traceparent of that trace, or nothing.
    """

    name: str
    traceparent: str
    began_ns: int
    parent: str = ""
    attributes: Mapping[str, str | int] = field(default_factory=dict)


class Tracer(Protocol):
    """Whom a role tells its spans; telling never waits and never fails."""

    @property
    def is_on(self) -> bool:
        """Whether anybody listens: a span need not be made otherwise."""
        ...

    def now_ns(self) -> int:
        """Return the present as spans count it."""
        ...

    def tell(self, span: Span) -> None:
        """Tell that *span* ends now."""
        ...


class _Off:
    """Nobody listens."""

    is_on = False

    def now_ns(self) -> int:
        return 0

    def tell(self, span: Span) -> None:
        """Drop *span*."""


OFF: Final[Tracer] = _Off()


def traceparent_of(event: CloudEvent) -> str:
    """Return the traceparent that *event* carries, or nothing."""
    carried = event.get_extension("traceparent")
    return carried if isinstance(carried, str) else ""


def ids_of(traceparent: str) -> tuple[str, str] | None:
    """Return trace id and span id in hex; none where *traceparent* is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return (found[1], found[2]) if found else None


def child_of(traceparent: str, name: str) -> str:
    """Return the traceparent of work on an event that leads to no event of its own."""
    ids = ids_of(traceparent)
    if ids is None:
        return ""
    span = sha256(f"{traceparent} {name}".encode()).hexdigest()[:16]
    return f"00-{ids[0]}-{span}-01"
