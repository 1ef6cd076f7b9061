"""What the demo's calls sound like: telephone band, room noise, hold music, mu-law."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from infra.recordings.voices import RATE_HZ, Samples

_BAND_HZ: Final = (300.0, 3400.0)
_SPEECH_RMS: Final = 0.09
_NOISE_RMS: Final = 0.0006
_MUSIC_RMS: Final = 0.05
_BAR_S: Final = 2.0
_CHORDS_HZ: Final = (
    (392.0, 493.9, 587.3, 784.0),
    (440.0, 523.3, 659.3, 880.0),
    (349.2, 440.0, 523.3, 698.5),
    (392.0, 523.3, 659.3, 784.0),
)
_MU: Final = 7
_BIAS: Final = 0x84
_CLIP: Final = 32635


def band_limited(samples: Samples) -> Samples:
    """Return what a telephone lets through of *samples*: 300 to 3,400 Hz."""
    spectrum = np.fft.rfft(samples)
    frequency_hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    low, high = _BAND_HZ
    gain = np.clip((frequency_hz - low) / 60 + 1, 0, 1) * np.clip((high - frequency_hz) / 100, 0, 1)
    limited: Samples = np.fft.irfft(spectrum * gain, len(samples))
    return limited


def levelled(samples: Samples, rms: float = _SPEECH_RMS) -> Samples:
    """Return *samples* at one loudness, so that no voice is louder than another."""
    return np.asarray(samples * (rms / max(1e-9, float(np.sqrt(np.mean(samples**2))))))


def room_noise(samples: int, chance: np.random.Generator) -> Samples:
    """Return the quiet noise of a room."""
    return levelled(band_limited(chance.normal(0, 1, samples)), _NOISE_RMS)


def hold_music(seconds: float) -> Samples:
    """Return soft broken chords; whole bars, so that they can be repeated without a click."""
    bars = max(1, round(seconds / _BAR_S))
    music = np.concatenate([_bar(_CHORDS_HZ[bar % len(_CHORDS_HZ)]) for bar in range(bars)])
    return levelled(band_limited(music), _MUSIC_RMS)


def _bar(chord_hz: tuple[float, ...]) -> Samples:
    note = round(RATE_HZ * _BAR_S / len(chord_hz))
    moment_s = np.arange(note) / RATE_HZ
    swell = np.sin(np.pi * np.arange(note) / note)
    notes = [swell * np.sin(2 * np.pi * hz * moment_s) for hz in chord_hz]
    return np.concatenate(notes)


def mu_law(samples: Samples) -> bytes:
    """Return *samples*, full scale 1, as G.711 mu-law."""
    linear = np.clip(np.rint(samples * 32768), -_CLIP, _CLIP).astype(np.int32)
    biased = np.abs(linear) + _BIAS
    segment = np.floor(np.log2(biased)).astype(np.int32) - _MU
    mantissa = (biased >> (segment + 3)) & 0x0F
    sign = np.where(linear < 0, 0x80, 0)
    return bytes((~(sign | (segment << 4) | mantissa) & 0xFF).astype(np.uint8))


def write_wav(path: Path, left: bytes, right: bytes) -> None:
    """Write two mu-law channels as a stereo wav file (format 7)."""
    data = np.column_stack([np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8)])
    audio = data.tobytes()
    form = struct.pack("<HHIIHHH", _MU, 2, RATE_HZ, 2 * RATE_HZ, 2, 8, 0)
    fact = struct.pack("<I", len(left))
    chunks = [(b"fmt ", form), (b"fact", fact), (b"data", audio)]
    body = b"".join(name + struct.pack("<I", len(part)) + part for name, part in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
