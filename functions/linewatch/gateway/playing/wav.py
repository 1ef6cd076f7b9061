"""Reads wav files: PCM of 16 bits, mu-law and A-law (which the stdlib's reader refuses).

Nothing in the header is trusted: a chunk is as long as the file really is.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linewatch.calls import Codec
from linewatch.errors import BadRequest, TooLarge, UnsupportedMedia

LARGEST_BYTES: Final = 256 * 1024 * 1024
_RATES_HZ: Final = range(8000, 48001)
_PCM, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_CODECS: Final = {(_PCM, 16): Codec.S16LE, (_A_LAW, 8): Codec.PCMA, (_MU_LAW, 8): Codec.PCMU}
_FORMAT: Final = struct.Struct("<HHIIHH")
_HEAD_BYTES: Final = 12
_SUBFORMAT: Final = slice(24, 26)


@dataclass(frozen=True, slots=True)
class Wav:
    """A recording: the bytes of each channel, all of the same length."""

    codec: Codec
    rate_hz: int
    channels: tuple[bytes, ...]

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return len(self.channels[0]) // self.codec.sample_bytes


def read(path: Path) -> Wav:
    """Read the wav file at *path*.

    Raises:
        BadRequest: the file is missing, broken or empty.
        TooLarge: it is larger than 256 MiB.
        UnsupportedMedia: it is no mono or stereo PCM16, mu-law or A-law.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise TooLarge(f"{path.name} is larger than {LARGEST_BYTES >> 20} MiB: cut it")
        raw = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        return parse(raw)
    except BadRequest as error:
        raise BadRequest(f"{path.name}: {error.detail}") from error
    except UnsupportedMedia as error:
        raise UnsupportedMedia(f"{path.name}: {error.detail}") from error


def parse(raw: bytes) -> Wav:
    """Read a wav file's bytes; see `read`."""
    if len(raw) < _HEAD_BYTES or raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise BadRequest("this is not a wav file: it must begin with RIFF....WAVE")
    codec: Codec | None = None
    rate_hz = count = 0
    for name, body in _chunks(memoryview(raw)[_HEAD_BYTES:]):
        if name == b"fmt ":
            codec, rate_hz, count = _format(bytes(body))
        elif name == b"data":
            if codec is None:
                raise BadRequest("the wav file's data comes before its format")
            return Wav(codec, rate_hz, _split(bytes(body), count, codec.sample_bytes))
    raise BadRequest("the wav file has no data chunk: record it again")


def _chunks(rest: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    while len(rest) >= 8:  # noqa: PLR2004 - name and length
        name, length = struct.unpack_from("<4sI", rest)
        yield name, rest[8 : 8 + length]
        rest = rest[8 + length + length % 2 :]


def _format(body: bytes) -> tuple[Codec, int, int]:
    if len(body) < _FORMAT.size:
        raise BadRequest("the wav file's format is cut short")
    tag, count, rate_hz, _, _, bits = _FORMAT.unpack_from(body)
    if tag == _EXTENSIBLE and len(body) >= _SUBFORMAT.stop:
        tag = int.from_bytes(body[_SUBFORMAT], "little")
    codec = _CODECS.get((tag, bits))
    if codec is None:
        raise UnsupportedMedia(
            f"format {tag} with {bits} bits is not supported: use PCM 16, mu-law or A-law 8"
        )
    if count not in {1, 2}:
        raise UnsupportedMedia(f"{count} channels are not supported: use mono or stereo")
    if rate_hz not in _RATES_HZ:
        raise UnsupportedMedia(f"rate must be 8000 to 48000 Hz, not {rate_hz}")
    return codec, rate_hz, count


def _split(data: bytes, count: int, sample_bytes: int) -> tuple[bytes, ...]:
    data = data[: len(data) - len(data) % (count * sample_bytes)]
    if not data:
        raise BadRequest("the wav file has no audio: record it again")
    if sample_bytes == 1:
        return tuple(data[channel::count] for channel in range(count))
    samples = array("h", data)
    return tuple(samples[channel::count].tobytes() for channel in range(count))
