"""Debian's speech synthesizers as the demo's speakers (festival, flite)."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from linewatch.errors import SettingsError

RATE_HZ: Final = 8000
#: Debian packages that `make_calls.py` needs.
PACKAGES: Final = "festival festvox-us-slt-hts festvox-kdlpc16k flite"
_FESTIVAL: Final[Mapping[str, str]] = {
    "slt": "(voice_cmu_us_slt_arctic_hts)",
    # By itself it speaks a tenth slower, which costs four points of word error rate.
    "ked": "(begin (voice_ked_diphone) (Parameter.set 'Duration_Stretch 1.0))",
}
_FLITE: Final = frozenset({"rms", "awb"})

Samples = NDArray[np.float64]


def speak(voice: str, text: str) -> Samples:
    """Return *text* spoken by *voice* at 8 kHz, full scale 1, without silence around it.

    Raises:
        SettingsError: the voice is unknown, or its synthesizer is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "spoken.wav"
        command = _command(voice, text, out)
        if shutil.which(command[0]) is None:
            raise SettingsError(f"{command[0]} is missing: apt-get install {PACKAGES}")
        subprocess.run(command, check=True, input=text.encode(), capture_output=True)  # noqa: S603 - our own text
        return _trimmed(_read(out))


def _command(voice: str, text: str, out: Path) -> list[str]:
    if voice in _FLITE:
        return ["flite", "-voice", voice, "-t", text, "-o", str(out)]
    if voice in _FESTIVAL:
        return ["text2wave", "-eval", _FESTIVAL[voice], "-o", str(out)]
    raise SettingsError(f"voice {voice!r} is unknown: use slt, ked, rms or awb")


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as spoken:
        raw = np.frombuffer(spoken.readframes(spoken.getnframes()), "<i2")
        rate_hz = spoken.getframerate()
    resampled = soxr.resample(raw.astype(np.float64) / 32768, rate_hz, RATE_HZ, quality="HQ")
    return np.asarray(resampled, np.float64)


def _trimmed(samples: Samples, loud: float = 0.01) -> Samples:
    heard = np.flatnonzero(np.abs(samples) > loud)
    margin = RATE_HZ // 20
    first, last = (int(heard[0]), int(heard[-1])) if len(heard) else (0, 0)
    return samples[max(0, first - margin) : last + margin]
