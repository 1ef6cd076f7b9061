"""The demo's own calls: how they are made, and that those committed keep their promises."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from infra.recordings import make_calls, voices
from infra.recordings.make_calls import HERE, Tape, Turn
from linewatch.calls import Codec
from linewatch.decoder.recognition.frontend import pcm
from linewatch.errors import SettingsError
from linewatch.gateway.playing.recording import read_folder

SCRIPTS = json.loads((HERE / "scripts.json").read_text())["calls"]
CALLS = json.loads((HERE / "calls.json").read_text())["calls"]
SCRIPT = {
    "name": "test",
    "about": "a test",
    "queue": "tests",
    "direction": "outbound",
    "agent": "slt",
    "customer": "rms",
    "turns": [
        ["agent", "good morning"],
        ["hold", "music", 4.0],
        ["customer", "hello there", 2.0],
        ["hold", "silence", 3.0],
    ],
}


@pytest.fixture(name="spoken", autouse=True)
def _spoken(monkeypatch):
    """A speaker that needs no synthesizer: a tone as long as the text."""
    said = []

    def speak(voice, text):
        said.append((voice, text))
        return np.sin(np.arange(400 * len(text)) / 4)

    monkeypatch.setattr(make_calls, "speak", speak)
    return said


def _level(audio):
    return float(np.sqrt(np.mean((pcm(Codec.PCMU, audio) / 32768.0) ** 2)))


def test_turns_lie_on_their_channel(tmp_path, spoken):
    """A turn is heard on its speaker's channel only, where the manifest says."""
    told = make_calls.make(SCRIPT, tmp_path)
    assert spoken == [("slt", "good morning"), ("rms", "hello there")]
    (recording,) = read_folder(tmp_path)
    customer, agent = recording.wav.channels
    for turn in told["turns"]:
        span = slice(turn["start_ms"] * 8 + 8, turn["end_ms"] * 8 - 8)
        own, other = (agent, customer) if turn["channel"] == "agent" else (customer, agent)
        assert _level(own[span]) > 0.05
        assert _level(other[span]) < 0.002


def test_music_is_on_the_agents_side(tmp_path):
    """On hold the customer hears music, and says nothing."""
    tape = Tape(np.random.default_rng(1))
    tape.wait("music", 4.0)
    start, stop = tape.hold
    assert stop - start == 4 * 8000
    assert _level(tape.channel("agent")[start:stop]) > 0.03
    assert _level(tape.channel("customer")[start:stop]) < 0.002


def test_silence_is_on_both_sides():
    """A silent hold is room noise on both channels."""
    tape = Tape(np.random.default_rng(1))
    tape.wait("silence", 3.0)
    start, stop = tape.hold
    for channel in ("agent", "customer"):
        assert _level(tape.channel(channel)[start:stop]) < 0.002


def test_pauses_lie_before_turns():
    """A turn begins after its pause."""
    tape = Tape(np.random.default_rng(1))
    tape.say(Turn("agent", "one", 0.5), "slt")
    tape.say(Turn("customer", "two", 1.5), "rms")
    first, second = tape.turns
    assert second["start_ms"] - first["end_ms"] == 1500


def test_same_script_same_bytes(tmp_path):
    """Making the calls twice gives the same files."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        scripts = tmp_path / "scripts.json"
        scripts.write_text(json.dumps({"calls": [SCRIPT]}))
        make_calls.make_all(scripts, folder)
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == {"test.wav", "calls.json"}


def test_unknown_voice_is_refused():
    """A voice nobody has is refused by name."""
    with pytest.raises(SettingsError, match="hal9000"):
        voices.speak("hal9000", "hello")


def test_missing_synthesizer_is_named(monkeypatch):
    """Without the synthesizer the error says what to install."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SettingsError, match="apt-get install"):
        voices.speak("rms", "hello")


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
def test_voice_speaks():
    """A voice gives sound at 8 kHz without silence around it."""
    spoken = voices.speak("rms", "hello there")
    assert 0.3 < len(spoken) / voices.RATE_HZ < 3
    assert np.abs(spoken[:800]).max() > 0.01


def test_committed_calls_match_scripts():
    """The committed recordings were made from the committed scripts."""
    assert [call["file"] for call in CALLS] == [f"{script['name']}.wav" for script in SCRIPTS]
    for call, script in zip(CALLS, SCRIPTS, strict=True):
        said = [turn[:2] for turn in script["turns"] if turn[0] != "hold"]
        assert [[turn["channel"], turn["text"]] for turn in call["turns"]] == said


def test_committed_calls_keep_promises():
    """At least six calls of one to two minutes, two with 20 s of hold, below 9 MB together."""
    recordings = read_folder(HERE)
    assert len(recordings) == len(SCRIPTS) >= 6
    assert all(60 <= each.duration_s <= 120 for each in recordings)
    assert all(each.wav.codec is Codec.PCMU and each.wav.rate_hz == 8000 for each in recordings)
    holds = [each.hold for each in recordings if each.hold]
    assert len(holds) == 2
    assert all(hold.stop - hold.start >= 20 * 8000 for hold in holds)
    assert sum(path.stat().st_size for path in HERE.glob("*.wav")) <= 9_000_000
