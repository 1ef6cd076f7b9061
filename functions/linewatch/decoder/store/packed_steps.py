"""How a step lies in the tail: a fixed head and the audio as it was received."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from linewatch.calls import Chunk, Codec, End, EndReason, Gap, GapReason, Resume, Step, span

# kind, codec or reason, rate (of a resume: ms away), seq (a gap: from_seq), next_seq, position,
# bytes of the stream's name
_HEAD: Final = struct.Struct(">BBIQQQB")
_CHUNK, _GAP, _END, _RESUME = range(4)
_CODECS: Final = tuple(Codec)
_GAP_REASONS: Final = tuple(GapReason)
_END_REASONS: Final = tuple(EndReason)


def pack(step: Step) -> bytes:
    """Return *step* as bytes."""
    stream = step.stream.encode()
    if isinstance(step, Chunk):
        codec = _CODECS.index(step.codec)
        head = (_CHUNK, codec, step.rate_hz, *span(step), step.position)
        return _HEAD.pack(*head, len(stream)) + stream + step.audio
    if isinstance(step, Gap):
        reason = _GAP_REASONS.index(step.reason)
        head = (_GAP, reason, 0, *span(step), step.position)
        return _HEAD.pack(*head, len(stream)) + stream
    if isinstance(step, Resume):
        reason = _GAP_REASONS.index(step.reason)
        head = (_RESUME, reason, step.away_ms, *span(step), step.position)
        return _HEAD.pack(*head, len(stream)) + stream
    reason = _END_REASONS.index(step.reason)
    return _HEAD.pack(_END, reason, 0, *span(step), 0, len(stream)) + stream


def unpack(packed: bytes) -> Step:
    """Read what `pack` wrote."""
    kind, which, rate_hz, seq, next_seq, position, length = _HEAD.unpack_from(packed)
    body = packed[_HEAD.size + length :]
    stream = packed[_HEAD.size : _HEAD.size + length].decode()
    if kind == _CHUNK:
        return Chunk(seq, position, stream, _CODECS[which], rate_hz, body)
    if kind == _GAP:
        return Gap(seq, next_seq, position, stream, _GAP_REASONS[which])
    if kind == _RESUME:
        return Resume(seq, position, stream, rate_hz, _GAP_REASONS[which])
    return End(seq, stream, _END_REASONS[which])


def fingerprint(packed: bytes) -> bytes:
    """Return 8 bytes that tell two different steps apart."""
    return blake2b(packed, digest_size=8).digest()


def numbers(step: Step) -> tuple[str, int, int, int, int]:
    """Return kind, seq, the seq after it, position and end position (-1: where it stands)."""
    if isinstance(step, Chunk):
        return "chunk", *span(step), step.position, step.end_position
    if isinstance(step, Gap):
        return "gap", *span(step), step.position, step.position
    return "end", *span(step), -1, -1
