"""What the demo's calls sound like."""

from __future__ import annotations

import numpy as np
import pytest

from infra.recordings import sound
from infra.recordings.voices import RATE_HZ
from linewatch.calls import Codec
from linewatch.decoder.recognition.frontend import pcm
from linewatch.gateway.playing import wav


def _tone(hz, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


@pytest.mark.parametrize(("hz", "passes"), [(100, 0), (1000, 1), (3000, 1), (3900, 0)])
def test_band_is_a_telephones(hz, passes):
    """Only what lies between 300 and 3,400 Hz comes through."""
    heard = sound.band_limited(_tone(hz))
    assert np.sqrt(np.mean(heard**2) * 2) == pytest.approx(passes, abs=0.02)


def test_mu_law_is_exact():
    """Every mu-law byte decoded and encoded again is itself, but for the second zero."""
    every = bytes(range(256))
    again = sound.mu_law(pcm(Codec.PCMU, every) / 32768)
    assert {one: other for one, other in zip(every, again, strict=True) if one != other} in (
        {},
        {0x7F: 0xFF},
    )


def test_mu_law_clips():
    """Louder than full scale is full scale."""
    assert sound.mu_law(np.array([2.0, -2.0])) == sound.mu_law(np.array([0.999, -0.999]))


def test_voices_are_equally_loud():
    """A quiet and a loud voice come out at one level."""
    quiet, loud = sound.levelled(_tone(500) * 0.01), sound.levelled(_tone(500))
    assert np.allclose(quiet, loud)


def test_noise_is_quiet_and_seeded():
    """Room noise is far below speech, and the same for the same seed."""
    one, same = (sound.room_noise(8000, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, same)
    assert 0 < np.sqrt(np.mean(one**2)) < 0.001


def test_music_repeats_without_click():
    """Hold music is whole bars whose end meets their beginning."""
    music = sound.hold_music(24.0)
    assert len(music) == 24 * RATE_HZ
    steps = np.abs(np.diff(np.concatenate([music, music])))
    assert steps[len(music) - 1] <= steps.max()
    assert abs(music[-1] - music[0]) < 0.01


def test_wav_is_read_back(tmp_path):
    """The gateway reads what is written: mu-law, left first."""
    sound.write_wav(tmp_path / "x.wav", b"left", b"rght")
    assert wav.read(tmp_path / "x.wav") == wav.Wav(Codec.PCMU, RATE_HZ, (b"left", b"rght"))
