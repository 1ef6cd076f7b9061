"""Reads wav files: PCM and floating point of any width, mu-law and A-law.

G.711 and PCM of 16 bits are played as they are; everything else is brought to 16 bits.
"""

from __future__ import annotations

import logging
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from linewatch.calls import Codec
from linewatch.errors import BadRequest, TooLarge, UnsupportedMedia
from linewatch.gateway.playing.wav_chunks import chunks

log = logging.getLogger(__name__)

LARGEST_BYTES: Final = 256 * 1024 * 1024
_RATES_HZ: Final = range(8000, 48001)
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_FORMAT: Final = struct.Struct("<HHIIHH")
_SUBFORMAT: Final = slice(24, 26)

_Convert = Callable[[bytes], npt.NDArray[np.generic]]


def _of_8_bits(data: bytes) -> npt.NDArray[np.generic]:
    return (np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8


def _of_24_bits(data: bytes) -> npt.NDArray[np.generic]:
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(-1, 3)[:, 1:]).view("<i2")


def _of_32_bits(data: bytes) -> npt.NDArray[np.generic]:
    return np.frombuffer(data, "<i2")[1::2]


def _of_floats(kind: str) -> _Convert:
    def convert(data: bytes) -> npt.NDArray[np.generic]:
        samples: npt.NDArray[np.float64] = np.nan_to_num(np.frombuffer(data, kind)).clip(-1, 1)
        return np.rint(samples * 32768).clip(-32768, 32767)

    return convert


#: By tag and bytes a sample: the codec, and what brings it to 16 bits where that is needed.
_CODECS: Final[dict[tuple[int, int], tuple[Codec, _Convert | None]]] = {
    (_A_LAW, 1): (Codec.PCMA, None),
    (_MU_LAW, 1): (Codec.PCMU, None),
    (_PCM, 1): (Codec.S16LE, _of_8_bits),
    (_PCM, 2): (Codec.S16LE, None),
    (_PCM, 3): (Codec.S16LE, _of_24_bits),
    (_PCM, 4): (Codec.S16LE, _of_32_bits),
    (_FLOAT, 4): (Codec.S16LE, _of_floats("<f4")),
    (_FLOAT, 8): (Codec.S16LE, _of_floats("<f8")),
}


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


@dataclass(frozen=True, slots=True)
class _Format:
    tag: int
    count: int
    rate_hz: int
    sample_bytes: int

    @property
    def frame_bytes(self) -> int:
        return self.count * self.sample_bytes


def read(path: Path) -> Wav:
    """Read the wav file at *path*; ``-`` is standard input.

    Raises:
        BadRequest: the file is missing, broken or empty.
        TooLarge: it is larger than 256 MiB.
        UnsupportedMedia: its format, rate or number of channels is none that can be played.
    """
    if path == Path("-"):
        path = Path("/dev/stdin")
    raw = _bytes_of(path)
    try:
        return parse(raw, path.name)
    except BadRequest as error:
        raise BadRequest(f"{path.name}: {error.detail}") from error
    except UnsupportedMedia as error:
        raise UnsupportedMedia(f"{path.name}: {error.detail}") from error


def _bytes_of(path: Path) -> bytes:
    try:
        is_large = path.stat().st_size > LARGEST_BYTES
        with path.open("rb") as file:
            # A pipe does not say how much will come.
            raw = b"" if is_large else file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"{path.name} cannot be read: {error.strerror}") from error
    if is_large or len(raw) > LARGEST_BYTES:
        raise TooLarge(f"{path.name} is larger than {LARGEST_BYTES >> 20} MiB: cut it")
    return raw


def parse(raw: bytes, name: str = "the wav file") -> Wav:
    """Read a wav file's bytes; a warning calls it by its *name*. See `read`."""
    form: _Format | None = None
    data: list[memoryview] = []
    for kind, body in chunks(raw):
        if kind == b"fmt ":
            form = _format(bytes(body))
        elif kind == b"data":
            data.append(body)
    if form is None:
        raise BadRequest("the wav file does not say its format: record it again")
    if not data:
        raise BadRequest("the wav file has no data chunk: record it again")
    codec, convert = _CODECS[form.tag, form.sample_bytes]
    frames = b"".join(_whole(body, form, name) for body in data)
    if not frames:
        raise BadRequest("the wav file has no audio: record it again")
    samples = convert(frames).astype("<i2").tobytes() if convert else frames
    return Wav(codec, form.rate_hz, _split(samples, form.count, codec.sample_bytes))


def _whole(data: memoryview, form: _Format, name: str) -> memoryview:
    over = len(data) % form.frame_bytes
    if over:
        log.warning("%s is cut in the middle of a sample: %d B at its end are left out", name, over)
    return data[: len(data) - over]


def _format(body: bytes) -> _Format:
    if len(body) < _FORMAT.size:
        raise BadRequest("the wav file's format is cut short")
    tag, count, rate_hz, _, frame_bytes, bits = _FORMAT.unpack_from(body)
    if tag == _EXTENSIBLE and len(body) >= _SUBFORMAT.stop:
        tag = int.from_bytes(body[_SUBFORMAT], "little")
    if count not in {1, 2}:
        raise UnsupportedMedia(f"{count} channels are not supported: use mono or stereo")
    sample_bytes = (bits + 7) // 8
    if tag == _PCM:
        # Samples of 20 bits, say, lie in 3 bytes, or even in 4, from the highest bit down.
        sample_bytes = max(sample_bytes, frame_bytes // count)
    if (tag, sample_bytes) not in _CODECS:
        raise UnsupportedMedia(
            f"format {tag} with {bits} bits is not supported: use PCM, float, mu-law or A-law"
        )
    if rate_hz not in _RATES_HZ:
        raise UnsupportedMedia(f"rate must be 8000 to 48000 Hz, not {rate_hz}")
    return _Format(tag, count, rate_hz, sample_bytes)


def _split(data: bytes, count: int, sample_bytes: int) -> tuple[bytes, ...]:
    if sample_bytes == 1:
        return tuple(data[channel::count] for channel in range(count))
    samples = array("h", data)
    return tuple(samples[channel::count].tobytes() for channel in range(count))
