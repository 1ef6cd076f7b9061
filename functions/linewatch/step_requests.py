"""The HTTP request that brings a step to a decoder: what a line sends, and a decoder forwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from linewatch import events
from linewatch.calls import ChannelKey, Chunk, Codec, Gap, Step
from linewatch.names import encoded

JSON: Final = {"content-type": "application/json"}
_G711_HZ: Final = 8000


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; *path* is below a decoder's base URL."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


def media_type(codec: Codec, rate_hz: int) -> str:
    """Return the content type of audio in *codec*."""
    if codec is Codec.S16LE:
        return f"audio/x-raw;format=S16LE;rate={rate_hz}"
    if codec is Codec.L16 or rate_hz != _G711_HZ:
        return f"audio/{codec};rate={rate_hz}"
    return f"audio/{codec}"


def call_path(call: str) -> str:
    """Return where a call is, below a decoder's base URL."""
    return f"/v1/calls/{encoded(call)}"


def channel_path(key: ChannelKey) -> str:
    """Return where a channel is, below a decoder's base URL."""
    return f"{call_path(key.call)}/channels/{key.channel}"


class ChannelRequests:
    """Writes the requests of one channel; what never changes is written once.

    Args:
        key: The channel.
        stream: The sender's name for its own run of steps.
        started_at_ms: When the call started; none leaves it to the decoder.
        name_tenant: Whether the tenant is sent along, which must then be the token's.
    """

    def __init__(
        self,
        key: ChannelKey,
        stream: str,
        started_at_ms: int | None = None,
        *,
        name_tenant: bool = False,
    ) -> None:
        tenant = {"ce-tenant": key.tenant} if name_tenant else {}
        time = {} if started_at_ms is None else {"ce-time": events.timestamp(started_at_ms)}
        self._stream = stream
        self._path = channel_path(key)
        self._json_headers = {**JSON, **tenant}
        self._chunk_headers = {
            "ce-specversion": "1.0",
            "ce-type": events.AUDIO_CHUNK,
            "ce-source": key.source,
            **time,
            "ce-stream": stream,
            **tenant,
        }

    def state(self) -> Request:
        """Ask how far the decoder is."""
        return Request("GET", self._path, {})

    def step(self, step: Step, after: int | None = None) -> Request:
        """Tell *step*; *after* is the first sample of the last final seen, -1 before any."""
        query = "" if after is None else f"?after={after}"
        if isinstance(step, Chunk):
            return self._chunk(step, query)
        own = {"stream": self._stream}
        if isinstance(step, Gap):
            body = {
                **own,
                "from_seq": step.from_seq,
                "next_seq": step.next_seq,
                "position": step.position,
                "reason": str(step.reason),
            }
            return self._json(f"gap{query}", body)
        return self._json(f"end{query}", {**own, "seq": step.seq})

    def _chunk(self, chunk: Chunk, query: str) -> Request:
        headers = {
            **self._chunk_headers,
            "ce-id": f"{self._stream}-{chunk.seq}",
            "ce-sequence": str(chunk.seq),
            "ce-position": str(chunk.position),
            "content-type": media_type(chunk.codec, chunk.rate_hz),
        }
        return Request("POST", f"{self._path}/audio{query}", headers, chunk.audio)

    def _json(self, what: str, body: Mapping[str, object]) -> Request:
        path = f"{self._path}/{what}"
        return Request("POST", path, self._json_headers, json.dumps(body).encode())
