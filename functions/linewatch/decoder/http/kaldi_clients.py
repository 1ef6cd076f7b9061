"""``POST /decode`` as the original demo's clients send it: a list of samples, one id a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np

from linewatch.calls import Chunk, Codec, Gap, GapReason, Step
from linewatch.decoder.http.media import HIGHEST_HZ, LOWEST_HZ
from linewatch.decoder.store.answers import Stored
from linewatch.errors import BadRequest

DEFAULT_HZ: Final = 16_000
STREAM: Final = "decode"
_REFUSED: Final = ("broker", "topic", "callback")
_LOWEST, _HIGHEST = -(1 << 15), (1 << 15) - 1
_NEEDED: Final = ("audio", "sample_rate", "do_finalize", "id")


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One request: 16 bit samples, and whether the utterance ends with them."""

    name: str
    audio: bytes
    rate_hz: int
    finalize: bool


def request_of(fields: Mapping[str, Any]) -> DecodeRequest:
    """Read a request.

    Raises:
        BadRequest: a key is missing, wrong, or names a host to send to.
    """
    refused = [name for name in _REFUSED if name in fields]
    if refused:
        raise BadRequest(f"{', '.join(refused)} may not be set by a client: leave it out")
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        raise BadRequest(f"{', '.join(missing)} must be given")
    rate_hz = DEFAULT_HZ if fields["sample_rate"] is None else fields["sample_rate"]
    if not isinstance(rate_hz, int) or not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
        raise BadRequest(f"sample_rate must be null or from {LOWEST_HZ} to {HIGHEST_HZ}")
    if not isinstance(fields["do_finalize"], bool):
        raise BadRequest("do_finalize must be true or false")
    if not isinstance(fields["id"], int | str):
        raise BadRequest("id must be a text or a number")
    return DecodeRequest(
        str(fields["id"]), _samples(fields["audio"]), rate_hz, fields["do_finalize"]
    )


def _samples(found: object) -> bytes:
    if not isinstance(found, list) or not all(type(each) is int for each in found):
        raise BadRequest("audio must be a list of whole numbers")
    if found and (min(found) < _LOWEST or max(found) > _HIGHEST):
        raise BadRequest("audio must hold 16 bit samples")
    return np.asarray(found, dtype="<i2").tobytes()


def call_for(name: str, now_ms: int) -> str:
    """Return a new call's id for the client that calls itself *name*."""
    return f"decode-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}-{now_ms}"


def steps_for(request: DecodeRequest, stored: Stored | None) -> list[Step]:
    """Number the audio after what the session holds; an end of utterance is a gap of 0 samples."""
    seq, position = (stored.next_seq, stored.next_position) if stored else (0, 0)
    steps: list[Step] = []
    if request.audio:
        chunk = Chunk(seq, position, STREAM, Codec.S16LE, request.rate_hz, request.audio)
        steps.append(chunk)
        seq, position = seq + 1, chunk.end_position
    if request.finalize and seq:
        steps.append(Gap(seq, seq + 1, position, STREAM, GapReason.DISCARDED))
    return steps


def answer(finals: Sequence[Mapping[str, Any]], partial: str, *, final: bool) -> dict[str, Any]:
    """Return ``{hstr, confidence}``; a partial hypothesis has no confidence yet."""
    if not final:
        return {"hstr": partial, "confidence": 0.0}
    sure = [word["confidence"] for each in finals for word in each["words"]]
    text = " ".join(each["text"] for each in finals)
    return {"hstr": text, "confidence": round(sum(sure) / len(sure), 4) if sure else 0.0}
