"""Vosk itself: the words, and that a restored session says the same bytes."""

import shutil
import wave

import numpy as np
import pytest

from linewatch.calls import ChannelKey, Codec, End
from linewatch.decoder.recognition import recognizer
from linewatch.decoder.recognition.session import Checkpoint, Session
from linewatch.errors import SettingsError
from tests.support import fakes

# The first run on a machine builds the graph.
pytestmark = pytest.mark.timeout(900)

AGENT = ChannelKey.of("default", "c1", "agent")
MIXED = ChannelKey.of("default", "c1", "mixed")


@pytest.fixture(name="vosk", scope="module")
def _vosk(prepared_model):
    return recognizer.load(prepared_model)


def sound_of(file):
    """Return the first channel of a wav and its rate."""
    with wave.open(str(file)) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
        return samples[:: wav.getnchannels()], wav.getframerate()


def padded(samples, rate_hz):
    """Put a second of quiet on both sides."""
    quiet = fakes.silence(1, rate_hz)
    return np.concatenate((quiet, samples, quiet))


def fold(vosk, steps, key=AGENT):
    """Accept *steps* and return the edges."""
    session = Session(key, 0, steps[0].rate_hz, vosk)
    return [edge for step in [*steps, End(10**6, "s1")] for edge in session.accept(step)]


def told(edges):
    """What must be equal to the last bit."""
    return [(edge.checkpoint, repr(edge.utterance), edge.ended) for edge in edges]


def text(edges):
    """All that was said."""
    return " ".join(edge.utterance.text for edge in edges if edge.utterance)


class TestWords:
    """What Vosk makes of a telephone recording."""

    def test_telephone_prompt_is_understood(self, vosk, shared):
        """A mu-law telephone recording at 8 kHz becomes its words."""
        sound, rate_hz = sound_of(shared / "audio" / "ivr_cannot-complete-as-dialed.wav")
        steps = fakes.chunks(padded(sound, rate_hz), 250, rate_hz)
        assert text(fold(vosk, steps)) == "your call cannot be completed as dialed"

    def test_words_lie_in_the_sound(self, vosk, shared):
        """Every word has a time inside the recording, in order, and a confidence."""
        sound, rate_hz = sound_of(shared / "audio" / "ivr_cannot-complete-as-dialed.wav")
        edges = fold(vosk, fakes.chunks(padded(sound, rate_hz), 250, rate_hz))
        words = [word for edge in edges if edge.utterance for word in edge.utterance.words]
        assert all(900 <= word.start_ms < word.end_ms <= 1000 + 1000 * len(sound) / rate_hz + 300
                   for word in words)  # fmt: skip
        assert [word.start_ms for word in words] == sorted(word.start_ms for word in words)
        assert all(0 < word.confidence <= 1 for word in words)

    def test_partial_grows_into_final(self, vosk, shared):
        """While speech goes on the partial has words; after its end there is none."""
        sound, rate_hz = sound_of(shared / "audio" / "ivr_cannot-complete-as-dialed.wav")
        session, seen = Session(AGENT, 0, rate_hz, vosk), []
        for step in fakes.chunks(padded(sound, rate_hz), 250, rate_hz):
            session.accept(step)
            seen.append(session.partial)
        assert any(partial.startswith("your call") for partial in seen)
        assert seen[0] == seen[-1] == ""

    def test_silence_says_nothing(self, vosk):
        """Silence on a mixed channel, which is decoded, brings no utterance."""
        edges = fold(vosk, fakes.chunks(fakes.silence(7), 500), MIXED)
        assert text(edges) == ""


class TestSameBytes:
    """Chunk sizes and restores change no byte."""

    @pytest.mark.parametrize("key", [AGENT, MIXED])
    @pytest.mark.parametrize("name", ["auto0_02_agent.wav", "one_two_three.wav"])
    def test_chunk_size_changes_nothing(self, vosk, shared, key, name):
        """20 ms, 100 ms, 250 ms and 1 s chunks of 8 and 44.1 kHz give the same bytes."""
        sound, rate_hz = sound_of(shared / "audio" / name)
        made = [
            told(fold(vosk, fakes.chunks(sound, ms, rate_hz, codec=Codec.L16), key))
            for ms in (20, 100, 250, 1000)
        ]
        assert text(fold(vosk, fakes.chunks(sound, 250, rate_hz, codec=Codec.L16), key))
        assert made[1:] == made[:1] * 3

    def test_restores_are_exact(self, vosk, shared):
        """Sessions restored at every fourth chunk, from checkpoint and tail, say the same bytes."""
        first, rate_hz = sound_of(shared / "audio" / "auto0_02_agent.wav")
        second, _ = sound_of(shared / "audio" / "ivr_conf-onlyone.wav")
        sound = np.concatenate((first, fakes.silence(0.8), second))
        steps = [*fakes.chunks(sound, 250, rate_hz), End(10**6, "s1")]
        session, checkpoint, tail, edges = Session(AGENT, 0, rate_hz, vosk), Checkpoint(), [], []
        for number, step in enumerate(steps):
            if number % 4 == 3:
                session = Session(AGENT, 0, rate_hz, vosk, checkpoint)
                assert [edge for kept in tail for edge in session.accept(kept)] == []
            tail.append(step)
            for edge in session.accept(step):
                checkpoint = edge.checkpoint
                del tail[: edge.drop]
                edges.append(edge)
        assert told(edges) == told(fold(vosk, steps[:-1]))
        assert len([edge for edge in edges if edge.utterance]) > 1


class TestLoading:
    """What a start tells or refuses."""

    def test_profile_says_what_runs(self, vosk):
        """The profile names model, graph, kernels and allocator for people."""
        assert vosk.profile["model"] == "vosk-model-small-en-us-0.15"
        assert vosk.profile["graph"] in {"static", "shipped"}
        assert {"kernels", "allocator", "profile", "vosk"} <= set(vosk.profile)

    def test_broken_model_stops_start(self, tmp_path):
        """A folder that looks like a model but is none is refused in one line."""
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "mfcc.conf").write_text("--dither=0\n")
        with pytest.raises(SettingsError, match="Vosk cannot read the model"):
            recognizer.load(tmp_path)

    def test_shipped_model_is_refused(self, tmp_path, prepared_model):
        """A model with random dither is refused and told how to prepare it."""
        shutil.copytree(prepared_model / "conf", tmp_path / "conf")
        (tmp_path / "conf" / "mfcc.conf").write_text("--sample-frequency=16000\n")
        with pytest.raises(SettingsError, match=r"python -m infra\.model"):
            recognizer.load(tmp_path)
