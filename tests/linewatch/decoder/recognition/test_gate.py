"""The voice gate of one channel."""

import numpy as np
import pytest

from linewatch.decoder.recognition import gate
from linewatch.decoder.recognition.gate import (
    FRAME_MS,
    OPENING_FRAMES,
    SETTLING_FRAMES,
    Gate,
    frame_end,
)
from linewatch.decoder.recognition.lengths import PRE_ROLL_MS
from tests.support import fakes

RATES = [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000]


def states(samples, rate_hz):
    """Let a new gate hear *samples* and return whether it was open after each frame."""
    listener, told, begin, number = Gate(rate_hz), [], 0, 1
    while (end := frame_end(0, number, rate_hz)) <= len(samples):
        listener.hear(samples[begin:end])
        told.append(listener.is_open)
        begin, number = end, number + 1
    return told


@pytest.mark.parametrize("rate_hz", RATES)
class TestAtEveryRate:
    """Speech and silence at every rate."""

    def test_speech_opens_soon(self, rate_hz):
        """Speech after a second of silence opens the gate within its pre-roll of 300 ms."""
        sound = np.concatenate((fakes.silence(1.02, rate_hz), fakes.speech(1, rate_hz)))
        told = states(sound, rate_hz)
        assert 34 <= told.index(True) <= 34 + 300 // FRAME_MS

    def test_silence_keeps_closed(self, rate_hz):
        """Digital silence never opens the gate."""
        assert not any(states(fakes.silence(3, rate_hz), rate_hz))

    def test_closes_after_hangover(self, rate_hz):
        """The gate closes about half a second after speech ends."""
        sound = np.concatenate((fakes.speech(1.5, rate_hz), fakes.silence(2, rate_hz)))
        told = states(sound, rate_hz)
        closed = len(told) - told[::-1].index(True)
        assert 1.5 + 0.4 <= closed * FRAME_MS / 1000 <= 1.5 + 0.9


class TestFrames:
    """Where frames end, and how odd rates are judged."""

    def test_frames_do_not_drift(self):
        """At an odd rate 100 frames still take exactly 3 s."""
        assert frame_end(7, 100, 11_025) == 7 + 3 * 11_025

    @pytest.mark.parametrize("rate_hz", [11_025, 44_100])
    def test_other_rates_are_interpolated(self, rate_hz):
        """A frame at an odd rate is judged as 30 ms at 8 kHz, its ends unmoved."""
        frame = fakes.speech(0.03, rate_hz)
        made = gate._at_8_khz(frame)
        assert len(made) == 240
        assert (made[0], made[-1]) == (frame[0], frame[-1])


def opened(answers, monkeypatch):
    """Let a new gate's detector give *answers*, after settling; return the gate's."""
    told = iter("1" * SETTLING_FRAMES + answers)
    monkeypatch.setattr(Gate, "_is_voiced", lambda self, frame: next(told) == "1")
    listener, states = Gate(8000), []
    for _ in range(SETTLING_FRAMES + len(answers)):
        listener.hear(fakes.silence(0.03))
        states.append(listener.is_open)
    return states


class TestOpening:
    """When the gate opens and closes."""

    @pytest.mark.parametrize(
        ("voiced", "opens"),
        [("00100", False), ("01100", False), ("01101", True), ("111", True), ("1000011", False)],
    )
    def test_three_of_five_open(self, voiced, opens, monkeypatch):
        """Three voiced frames within five open the gate, two do not."""
        assert opened(voiced, monkeypatch)[-1] is opens

    def test_speech_renews_hangover(self, monkeypatch):
        """Pauses shorter than half a second leave the gate open."""
        told = opened("111" + ("0" * 16 + "1") * 3 + "0" * 17, monkeypatch)
        closed = [False] * (SETTLING_FRAMES + 2)
        assert told == [*closed, *[True] * (1 + 17 * 3 + 16), False]

    def test_first_frames_open_nothing(self, monkeypatch):
        """What a new detector says while it settles does not count."""
        assert not any(opened("11000", monkeypatch))

    @pytest.mark.parametrize("level", [3, 20, 80, 400])
    def test_line_noise_keeps_closed(self, level):
        """Steady noise on the line never opens a gate, however often it is made anew."""
        for seed in range(10):
            assert not any(states(fakes.noise(1, level=level, seed=seed), 8000))

    def test_settling_fits_pre_roll(self):
        """A gate that opens as soon as it can is within the pre-roll: nothing is cut off."""
        assert (SETTLING_FRAMES + OPENING_FRAMES) * FRAME_MS <= PRE_ROLL_MS

    def test_new_gates_are_equal(self):
        """Two gates that hear the same frames agree on each."""
        sound = np.concatenate((fakes.noise(1, level=300), fakes.speech(1), fakes.silence(1)))
        assert states(sound, 8000) == states(sound, 8000)
