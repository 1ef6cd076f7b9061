"""The fakes are themselves held to what the other tests build on."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from linewatch.calls import Codec
from tests.support import fakes

RUN = """
from linewatch.calls import ChannelKey
from linewatch.decoder.recognition.session import Session
from tests.support import fakes
session = Session(ChannelKey.of("t", "c", "agent"), 0, 8000, fakes.PoisonedRecognizers("crash"))
for chunk in fakes.chunks({sound}):
    session.accept(chunk)
"""


def run_poisoned(sound):
    """Run *sound* through a session with poisoned recognizers in a process of its own."""
    return subprocess.run([sys.executable, "-c", RUN.format(sound=sound)], check=False).returncode


class TestHash:
    """The hash chain is a strict oracle."""

    def test_hash_tells_one_sample(self):
        """One changed sample changes every later word."""
        first, second = fakes.HashRecognizer(), fakes.HashRecognizer()
        sound = fakes.speech(1, 16_000)
        first.accept(sound.tobytes())
        sound[100] += 1
        second.accept(sound.tobytes())
        assert first.final() != second.final()

    def test_silence_has_no_words(self):
        """Quiet quanta say nothing and end nothing."""
        recognizer = fakes.HashRecognizer()
        assert not recognizer.accept(fakes.silence(1, 16_000).tobytes())
        assert recognizer.final() == ()

    def test_quiet_ends_speech(self):
        """Half a second of quiet after a word is an endpoint, unless endpoints are off."""
        for endpoints in (True, False):
            recognizer = fakes.HashRecognizer(endpoints=endpoints)
            recognizer.accept(fakes.speech(0.5, 16_000).tobytes())
            assert recognizer.accept(fakes.silence(0.6, 16_000).tobytes()) is endpoints


class TestPoison:
    """Poison kills, other audio does not."""

    def test_poison_kills_process(self):
        """Poison on a gated telephone channel ends the process by SIGSEGV."""
        assert run_poisoned("fakes.poison()") == -11

    def test_plain_speech_is_harmless(self):
        """Loud ordinary speech is no poison."""
        assert run_poisoned("fakes.speech(3, peak=20_000)") == 0


class TestSounds:
    """The sounds and their chunks."""

    @pytest.mark.parametrize("codec", list(Codec))
    def test_chunks_cover_every_sample(self, codec):
        """The chunks of a sound are numbered without holes and hold all its samples."""
        made = fakes.chunks(fakes.speech(1.1), 250, codec=codec, seq=3, position=50)
        assert [each.seq for each in made] == [3, 4, 5, 6, 7]
        assert made[0].position == 50
        assert all(a.end_position == b.position for a, b in pairwise(made))
        assert made[-1].end_position == 50 + 8800

    def test_speakers_take_turns(self):
        """Two channels are equally long and both speak."""
        agent, customer = fakes.two_speakers(10).values()
        assert len(agent) == len(customer) >= 80_000
        assert min(np.abs(agent.astype(int)).max(), np.abs(customer.astype(int)).max()) > 5000
