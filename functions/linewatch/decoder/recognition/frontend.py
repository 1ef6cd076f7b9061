"""From the bytes of a chunk to the 16 kHz samples a recognizer hears. Pure.

Kaldi's dither is random, and without it telephone speech is recognised badly. So a
fixed table of Gaussian noise takes its place, indexed by the absolute number of the
16 kHz sample: the same audio is always the same bytes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from linewatch.calls import Codec

Samples = NDArray[np.int16]

RECOGNIZER_HZ: Final = 16_000
#: A recognizer hears so many quanta a second, counted from the utterance's first sample.
QUANTA_PER_S: Final = 4

_RESAMPLER: Final = "HQ"
_NOISE_SEED: Final = 20_240_229
_NOISE_SAMPLES: Final = 48_000
# Errors on the 635 words of the development set, means of 2 to 5 seeds: 4 LSB 73.6, 5 71,
# 6 69, 7 66, 8 67, 10 67, 12 70, 16 72.
_NOISE_LSB: Final = 7.0


def _mu_law_table() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_table() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    step, exponent = (code & 0x0F) << 4, (code >> 4) & 0x07
    coarse = (step + 0x108) << np.maximum(exponent - 1, 0)
    magnitude = np.where(exponent == 0, step + 8, coarse)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


MU_LAW: Final = _mu_law_table()
A_LAW: Final = _a_law_table()

# RandomState's stream is frozen for ever, a Generator's may change with numpy's version.
_NOISE: Final = (
    np.random.RandomState(_NOISE_SEED).normal(0.0, _NOISE_LSB, _NOISE_SAMPLES).astype(np.float32)
)


def fingerprint() -> str:
    """Name everything here that the recognizer's samples depend on."""
    noise = sha256(_NOISE.tobytes()).hexdigest()[:16]
    return f"soxr-{soxr.__version__}-{_RESAMPLER} noise-{noise} quanta-{QUANTA_PER_S}"


def pcm(codec: Codec, audio: bytes) -> Samples:
    """Return *audio* as 16-bit samples at its own rate."""
    if codec is Codec.PCMU:
        return MU_LAW[np.frombuffer(audio, np.uint8)]
    if codec is Codec.PCMA:
        return A_LAW[np.frombuffer(audio, np.uint8)]
    order = ">i2" if codec is Codec.L16 else "<i2"
    return np.frombuffer(audio, order).astype(np.int16)


def quantum_end(first_sample: int, number: int, rate_hz: int) -> int:
    """Return where quantum *number* (from 1) of an utterance ends, in samples."""
    return first_sample + number * rate_hz // QUANTA_PER_S


def milliseconds(sample: int, rate_hz: int) -> int:
    """Return the time of *sample* since the call's first."""
    return sample * 1000 // rate_hz


class Frontend:
    """Turns one utterance's samples into 16 kHz, 16 bit, little-endian bytes with noise.

    A resampler carries state: each utterance has its own, begun at its first sample.
    """

    def __init__(self, first_sample: int, rate_hz: int) -> None:
        self._next = first_sample * RECOGNIZER_HZ // rate_hz
        self._resampler = (
            None
            if rate_hz == RECOGNIZER_HZ
            else soxr.ResampleStream(rate_hz, RECOGNIZER_HZ, 1, "float32", _RESAMPLER)
        )

    def feed(self, samples: Samples, *, last: bool = False) -> bytes:
        """Return what can be said after *samples*; *last* also drains the resampler."""
        wide: NDArray[np.float32] = samples.astype(np.float32)
        if self._resampler is not None:
            wide = self._resampler.resample_chunk(wide, last=last)
        return self._with_noise(wide)

    def _with_noise(self, wide: NDArray[np.float32]) -> bytes:
        numbers = np.arange(self._next, self._next + len(wide))
        self._next += len(wide)
        noisy = np.rint(wide + _NOISE[numbers % len(_NOISE)])
        heard: Samples = np.clip(noisy, -32768, 32767).astype("<i2")
        return heard.tobytes()
