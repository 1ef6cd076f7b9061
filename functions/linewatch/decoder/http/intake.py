"""From a request's headers and body to a step: everything that can be wrong is found here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from linewatch import events, payloads
from linewatch.calls import (
    CallStart,
    Channel,
    Chunk,
    Codec,
    End,
    Gap,
    GapReason,
    checked_channel,
    checked_name,
)
from linewatch.decoder.http.media import HIGHEST_HZ, media_type
from linewatch.errors import BadChunk, BadEvent, BadRequest

#: 250 ms of 48 kHz PCM is 24 kB: this is 2.7 s of it.
BODY_LIMIT: Final = 256 * 1024
_HIGHEST_NUMBER: Final = 1 << 53
#: A week of audio, as long as any reader of our events takes a call to last.
_HIGHEST_POSITION: Final = payloads.CALL_LIMIT_MS // 1000 * HIGHEST_HZ
_MOST_DIGITS: Final = 16
_MOST_CHARACTERS: Final = 128
_MOST_CHANNELS: Final = 16


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
    return Heard(checked_chunk(media, numbers, body), moment_ms(headers.get("ce-time")))


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
        BadChunk: it is no time, has no zone, or lies before 1970.
    """
    if raw is None or raw == "":
        return None
    text = raw if isinstance(raw, str) else ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadChunk(
            f"time must be RFC 3339, as in 2026-01-31T12:00:00Z, not {text[:40]!r}"
        ) from None
    return start_ms(moment)


def start_ms(moment: datetime) -> int:
    """Return when a call started, in ms.

    Raises:
        BadChunk: the time has no zone, or no call can have started then.
    """
    if moment.tzinfo is None:
        raise BadChunk("time must carry a zone, as in 2026-01-31T12:00:00Z")
    started_at_ms = events.at_ms(moment)
    _check_start(started_at_ms)
    return started_at_ms


def _check_start(at_ms: int) -> None:
    if not 0 <= at_ms < payloads.AT_LIMIT_MS:
        raise BadChunk("time must lie between 1970 and 2199: send the call's start")


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


def start_of(tenant: str, fields: Mapping[str, Any], now_ms: int) -> CallStart:
    """Read what ``POST /v1/calls`` says of a call.

    Raises:
        BadName, BadRequest, BadChunk: a field is missing or wrong.
    """
    call = checked_name("call", fields.get("call"))
    started_at_ms = moment_ms(fields.get("started_at"))
    return checked_start(
        CallStart(
            tenant=tenant,
            call=call,
            line=checked_name("line", fields.get("line", call)),
            started_at_ms=now_ms if started_at_ms is None else started_at_ms,
            agent=fields.get("agent", ""),
            queue=fields.get("queue", ""),
            direction=fields.get("direction", "inbound"),
        )
    )


def checked_start(start: CallStart) -> CallStart:
    """Return *start* if it can be told and shown.

    Raises:
        BadRequest: a text is none, too long or cannot be printed; no such direction.
        BadChunk: no call can have started then.
    """
    for name, text in (("agent", start.agent), ("queue", start.queue)):
        if not isinstance(text, str) or len(text) > _MOST_CHARACTERS or not text.isprintable():
            raise BadRequest(f"{name} must be a text of up to {_MOST_CHARACTERS} characters")
    if start.direction not in ("inbound", "outbound"):
        raise BadRequest("direction must be inbound or outbound")
    _check_start(start.started_at_ms)
    return start


def channels_of(fields: Mapping[str, Any]) -> list[Channel]:
    """Read the channels a call will have; none means: whatever comes."""
    found = fields.get("channels", [])
    if not isinstance(found, list) or len(found) > _MOST_CHANNELS:
        raise BadRequest(f"channels must be a list of up to {_MOST_CHANNELS} names")
    return list(dict.fromkeys(map(checked_channel, found)))


def after_of(raw: str) -> int:
    """Read ``?after=``: the first sample of the last final seen; -1 for none."""
    if raw == "-1":
        return -1
    return _number("after", raw)
