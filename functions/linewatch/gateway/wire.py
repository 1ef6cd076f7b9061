"""What a line tells a decoder beside its steps, and what the answers mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from linewatch import events
from linewatch.calls import CallStart
from linewatch.gateway.decoders import Answer
from linewatch.step_requests import JSON, Request

#: Answers to which the same request is sent again; every other error is final.
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
TAKEN: Final = frozenset({200, 201})
_PROBLEM: Final = "urn:linewatch:problem:"
Words = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a decoder answers to a step it has: *finals* are new since ``?after=``."""

    next_seq: int
    next_position: int
    partial: str
    finals: tuple[Words, ...]


def announcement(start: CallStart, channels: tuple[str, ...]) -> Request:
    """Return the request that tells of a call's start."""
    body = {
        "call": start.call,
        "line": start.line,
        "agent": start.agent,
        "queue": start.queue,
        "direction": start.direction,
        "started_at": events.timestamp(start.started_at_ms),
        "channels": list(channels),
    }
    return Request("POST", "/v1/calls", JSON, json.dumps(body).encode())


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def reply(answer: Answer) -> Reply | None:
    """Return the reply in *answer*, None when it is no reply a decoder makes."""
    body = _object(answer.body)
    next_seq, next_position = _whole(body.get("next_seq")), _whole(body.get("next_position"))
    if next_seq is None or next_position is None:
        return None
    finals = body.get("finals", [])
    kept = [each for each in finals if isinstance(each, dict)] if isinstance(finals, list) else []
    partial = body.get("partial", "")
    return Reply(next_seq, next_position, partial if isinstance(partial, str) else "", tuple(kept))


def problem(answer: Answer) -> tuple[str, int | None]:
    """Return a problem's name, empty when it has none, and the ``next_seq`` it tells."""
    body = _object(answer.body)
    kind = body.get("type")
    slug = kind.removeprefix(_PROBLEM) if isinstance(kind, str) else ""
    return slug, _whole(body.get("next_seq"))


def retry_after_s(answer: Answer) -> float | None:
    """Return the seconds *answer* asks to wait; a date, which we never send, is not read."""
    raw = answer.headers.get("retry-after", "")
    return float(raw) if raw.isdecimal() else None
