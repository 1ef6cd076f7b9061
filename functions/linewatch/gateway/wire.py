"""A channel's steps as HTTP requests to a decoder, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from linewatch import events
from linewatch.calls import CallStart, ChannelKey, Chunk, Codec, Gap, Step
from linewatch.gateway.decoders import Answer

_JSON: Final = {"content-type": "application/json"}
_G711_HZ: Final = 8000
#: Answers to which the same request is sent again; every other error is final.
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
TAKEN: Final = frozenset({200, 201})
_PROBLEM: Final = "urn:linewatch:problem:"
Words = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; *path* is below a decoder's base URL."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a decoder answers to a step it has: *finals* are new since ``?after=``."""

    next_seq: int
    next_position: int
    partial: str
    finals: tuple[Words, ...]


def media_type(codec: Codec, rate_hz: int) -> str:
    """Return the content type of audio in *codec*."""
    if codec is Codec.S16LE:
        return f"audio/x-raw;format=S16LE;rate={rate_hz}"
    if codec is Codec.L16 or rate_hz != _G711_HZ:
        return f"audio/{codec};rate={rate_hz}"
    return f"audio/{codec}"


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
    return Request("POST", "/v1/calls", _JSON, json.dumps(body).encode())


class ChannelWire:
    """Writes the requests of one channel; what never changes is written once.

    *name_tenant* sends the tenant along, which must then be the token's.
    """

    def __init__(
        self, key: ChannelKey, started_at_ms: int, stream: str, *, name_tenant: bool = False
    ) -> None:
        self._stream = stream
        self._path = f"/v1/calls/{key.call}/channels/{key.channel}"
        self._chunk_headers = {
            "ce-specversion": "1.0",
            "ce-type": events.AUDIO_CHUNK,
            "ce-source": key.source,
            "ce-time": events.timestamp(started_at_ms),
            "ce-stream": stream,
        }
        if name_tenant:
            self._chunk_headers["ce-tenant"] = key.tenant

    def state(self) -> Request:
        """Ask how far the decoder is."""
        return Request("GET", self._path, {})

    def step(self, step: Step, after: int) -> Request:
        """Tell *step*; *after* is the first sample of the last final seen, -1 before any."""
        if isinstance(step, Chunk):
            return self._chunk(step, after)
        told = {"stream": self._stream}
        if isinstance(step, Gap):
            body = {
                **told,
                "from_seq": step.from_seq,
                "next_seq": step.next_seq,
                "position": step.position,
                "reason": str(step.reason),
            }
            return self._json("gap", after, body)
        return self._json("end", after, {**told, "seq": step.seq})

    def _chunk(self, chunk: Chunk, after: int) -> Request:
        headers = {
            **self._chunk_headers,
            "ce-id": f"{self._stream}-{chunk.seq}",
            "ce-sequence": str(chunk.seq),
            "ce-position": str(chunk.position),
            "content-type": media_type(chunk.codec, chunk.rate_hz),
        }
        return Request("POST", f"{self._path}/audio?after={after}", headers, chunk.audio)

    def _json(self, what: str, after: int, body: Mapping[str, object]) -> Request:
        path = f"{self._path}/{what}?after={after}"
        return Request("POST", path, _JSON, json.dumps(body).encode())


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
