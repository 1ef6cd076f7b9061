"""From a request's headers and body to a step: everything that can be wrong is found here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from linewatch import events, moments, payloads
from linewatch.calls import (
    Chunk,
    Codec,
    End,
    Gap,
    GapReason,
)
from linewatch.decoder.http.media import HIGHEST_HZ, media_type
from linewatch.errors import BadChunk, BadEvent, BadRequest
from linewatch.names import checked_name

#: 250 ms of 48 kHz PCM is 24 kB: this is 2.7 s of it.
BODY_LIMIT: Final = 256 * 1024
_HIGHEST_NUMBER: Final = 1 << 53
#: A week of audio, as long as any reader of our events takes a call to last.
_HIGHEST_POSITION: Final = payloads.CALL_LIMIT_MS // 1000 * HIGHEST_HZ
_MOST_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk, and when its call started if the sender said so."""

    chunk: Chunk
    started_at_ms: int | None


def _number(name: str, raw: object) -> int:
    text = str(raw) if isinstance(raw, int | str) and not isinstance(raw, bool) else ""
    if not text.isascii() or not text.isdigit():
        raise BadChunk(f"{name} must be a whole number, 0 or more, not {text[:20]!r}")
    if len(text) > _MOST_DIGITS or int(text) >= _HIGHEST_NUMBER:
        raise BadChunk(f"{name} must be below 2^53")
    return int(text)


def _position(name: str, raw: object) -> int:
    position = _number(name, raw)
    if position >= _HIGHEST_POSITION:
        raise BadChunk(f"{name} must be below {_HIGHEST_POSITION}: a call lasts less than a week")
    return position


def chunk_of(headers: Mapping[str, str], body: bytes) -> Heard:
    """Read a binary CloudEvent that holds audio; *headers* in lower case.

    Raises:
        BadEvent: no CloudEvent 1.0 of the chunk's type.
        BadChunk: a number, a name, the rate or the length is wrong.
        UnsupportedMedia: the content type is no audio we read.
    """
    media = media_type(headers.get("content-type", ""))
    if headers.get("ce-specversion") != "1.0" or headers.get("ce-type") != events.AUDIO_CHUNK:
        raise BadEvent(f"send ce-specversion: 1.0 and ce-type: {events.AUDIO_CHUNK}")
    numbers = {name: headers.get(f"ce-{name}", "") for name in ("sequence", "position", "stream")}
    started_at_ms = moment_ms(unquote(headers.get("ce-time", "")))
    return Heard(checked_chunk(media, numbers, body), started_at_ms)


def checked_chunk(media: tuple[Codec, int], numbers: Mapping[str, object], audio: bytes) -> Chunk:
    """Return the chunk of *audio* in *media*: codec and rate in Hz.

    Args:
        media: See `linewatch.decoder.http.media.media_type`.
        numbers: The event's ``sequence``, ``position`` and ``stream``, as texts or numbers.
        audio: The samples.

    Raises:
        BadChunk, BadName: one of them is wrong.
    """
    codec, rate_hz = media
    chunk = Chunk(
        seq=_number("ce-sequence", numbers.get("sequence")),
        position=_position("ce-position", numbers.get("position")),
        stream=checked_name("stream", numbers.get("stream")),
        codec=codec,
        rate_hz=rate_hz,
        audio=audio,
    )
    _check_length(chunk)
    payloads.check_position(chunk.end_position, chunk.rate_hz)
    return chunk


def _check_length(chunk: Chunk) -> None:
    if not chunk.audio:
        raise BadChunk("the chunk is empty: send at least one sample")
    if len(chunk.audio) % chunk.codec.sample_bytes:
        raise BadChunk(
            f"{len(chunk.audio)} bytes are not whole samples: send 2 bytes for each sample"
        )


def moment_ms(raw: object) -> int | None:
    """Read an RFC 3339 time; none if there is none.

    Raises:
        BadChunk: it is no time, or has no zone.
    """
    if raw is None or raw == "":
        return None
    try:
        return events.at_ms(moments.parse(raw))
    except ValueError:
        shown = raw[:40] if isinstance(raw, str) else type(raw).__name__
        raise BadChunk(
            f"time must be RFC 3339 with a zone, as in 2026-01-31T12:00:00Z, not {shown!r}"
        ) from None


def json_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body must be a JSON object") from None
    if not isinstance(found, dict):
        raise BadRequest("the body must be a JSON object")
    return found


def gap_of(fields: Mapping[str, Any]) -> Gap:
    """Read ``{stream, from_seq, next_seq, position, reason}``.

    Raises:
        BadChunk: one of them is missing or wrong.
    """
    reasons = [reason for reason in GapReason if reason is not GapReason.UNDECODABLE]
    if fields.get("reason") not in reasons:
        raise BadChunk(f"reason must be one of {', '.join(reasons)}")
    from_seq = _number("from_seq", fields.get("from_seq"))
    next_seq = _number("next_seq", fields.get("next_seq"))
    if next_seq <= from_seq:
        raise BadChunk("next_seq must be greater than from_seq")
    return Gap(
        from_seq=from_seq,
        next_seq=next_seq,
        position=_position("position", fields.get("position")),
        stream=checked_name("stream", fields.get("stream")),
        reason=GapReason(fields["reason"]),
    )


def end_of(fields: Mapping[str, Any]) -> End:
    """Read ``{stream, seq}``."""
    return End(_number("seq", fields.get("seq")), checked_name("stream", fields.get("stream")))


def after_of(raw: str) -> int:
    """Read ``?after=``: the first sample of the last final seen; -1 for none."""
    if raw == "-1":
        return -1
    return _number("after", raw)
