"""The chunks of a wav file in any of its containers: RIFF, RF64 or BW64, and Wave64.

No length in the file is trusted. A recorder that was cut off, or wrote into a pipe, leaves
0, 4 GiB or any other length behind: the data is then as long as the file really is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from linewatch.errors import BadRequest

Chunks = Iterator[tuple[bytes, memoryview]]

_RIFF_HEAD: Final = 12
_CHUNK: Final = struct.Struct("<4sI")
_DS64: Final = struct.Struct("<QQ")
_UNKNOWN: Final = 0xFFFFFFFF
_KNOWN: Final = frozenset((b"data", b"LIST", b"fact", b"bext", b"fmt ", b"id3 ", b"iXML", b"cue "))
_W64_RIFF: Final = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_WAVE: Final = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_CHUNK: Final = struct.Struct("<4s12xQ")


def chunks(raw: bytes) -> Chunks:
    """Return the chunks of a file by name, what is in them cut to what is there.

    Raises:
        BadRequest: it is no wav file.
    """
    if raw[:4] in {b"RIFF", b"RF64", b"BW64"} and raw[8:_RIFF_HEAD] == b"WAVE":
        return _of_riff(memoryview(raw)[_RIFF_HEAD:])
    if raw[:16] == _W64_RIFF and raw[24:40] == _W64_WAVE:
        return _of_w64(memoryview(raw)[40:])
    raise BadRequest("this is not a wav file: it must begin with RIFF....WAVE")


def _of_riff(rest: memoryview) -> Chunks:
    long_data = _UNKNOWN
    while len(rest) >= _CHUNK.size:
        name, length = _CHUNK.unpack_from(rest)
        body = rest[_CHUNK.size :]
        if name == b"ds64" and len(body) >= _DS64.size:
            _, long_data = _DS64.unpack_from(body)
        elif name == b"data":
            length = _data_length(long_data if length == _UNKNOWN else length, body)
        yield name, body[:length]
        rest = _after(body, length)


def _data_length(length: int, body: memoryview) -> int:
    """Return *length*, or all of *body* where 0 cannot mean that there is no data."""
    return length or (0 if _are_chunks(body) else len(body))


def _are_chunks(rest: memoryview) -> bool:
    while len(rest) >= _CHUNK.size:
        name, length = _CHUNK.unpack_from(rest)
        if not _is_name(name) or length > len(rest) - _CHUNK.size:
            return False
        rest = _after(rest[_CHUNK.size :], length)
    return not any(rest)


def _after(body: memoryview, length: int) -> memoryview:
    """Return what follows a chunk: an odd one is padded by a byte that some recorders leave out."""
    rest = body[length:]
    return rest[1:] if length % 2 and _is_padded(rest) else rest


def _is_padded(rest: memoryview) -> bool:
    return not _is_name(bytes(rest[:4])) or bytes(rest[1:5]) in _KNOWN


def _is_name(name: bytes) -> bool:
    return len(name) == _CHUNK.size // 2 and name.isascii() and name.decode().isprintable()


def _of_w64(rest: memoryview) -> Chunks:
    while len(rest) >= _W64_CHUNK.size:
        name, size = _W64_CHUNK.unpack_from(rest)
        # A chunk counts its own head: this is what 0 is elsewhere.
        if size < _W64_CHUNK.size + (name == b"data"):
            size = len(rest)
        yield name, rest[_W64_CHUNK.size : size]
        rest = rest[size + -size % 8 :]
