"""The recordings the benches decode: `../shared/audio` by kinds, and two-channel calls.

Where `../shared/audio` is not laid the demo's own calls take its place.
"""

import json
from dataclasses import dataclass, replace

from linewatch.decoder.recognition.frontend import pcm
from linewatch.gateway.playing import wav
from linewatch.gateway.playing.recording import STEREO
from tests.support.source import ROOT

AUDIO = ROOT.parent / "shared" / "audio"
DEMO = ROOT / "infra" / "recordings"

# Parts of the manifest's kind, and the row they are counted in.
_ROWS = {
    "role play": "seed calls",
    "telephone call": "telephone turns",
    "IVR": "IVR prompts",
    "digit string": "digits 8 kHz",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a recording: int16 samples, and what is said where that is known."""

    name: str
    kind: str
    rate_hz: int
    samples: object
    said: str = ""


def spoken(text):
    """Return *text* as words are compared: lower case, no punctuation."""
    plain = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join("".join(c for c in plain if c.isalnum() or c in "' ").split())


def channels_of(path, kind=""):
    """Read all channels of a wav file."""
    read = wav.read(path)
    return [
        Channel(path.stem, kind, read.rate_hz, pcm(read.codec, audio)) for audio in read.channels
    ]


def development_set(demo_calls):
    """Return the 45 channels of `../shared/audio` with a transcript (635 words), or demo calls."""
    if not AUDIO.exists():
        return _demo_set(demo_calls)
    found = []
    for entry in json.loads((AUDIO / "manifest.json").read_text()):
        texts = entry["transcript"]
        if entry["file"].startswith("call_"):
            continue  # its text is uncorrected
        kind = next((row for part, row in _ROWS.items() if part in entry["kind"]), "wideband")
        sides = channels_of(AUDIO / entry["file"], kind)
        texts = texts if isinstance(texts, list) else [texts]
        found += [
            Channel(side.name, kind, side.rate_hz, side.samples, spoken(text))
            for side, text in zip(sides, texts, strict=False)
        ]
    return found


def _demo_set(calls):
    """Return both channels of some of the demo's calls, with what their scripts let them say."""
    return [
        replace(side, said=spoken(" ".join(_turns(call, name))))
        for call in json.loads((DEMO / "calls.json").read_text())["calls"][:calls]
        for name, side in zip(STEREO, channels_of(DEMO / call["file"], "demo calls"), strict=True)
    ]


def _turns(call, channel):
    return [turn["text"] for turn in call["turns"] if turn["channel"] == channel]


def two_channel_calls(demo_calls):
    """Return calls with a speaker per channel: one made of a real call, and some of the demo's."""
    real = sorted(AUDIO.glob("call_*_two_channel.wav"))
    files = [*real, *sorted(DEMO.glob("*.wav"))[:demo_calls]]
    return [channels_of(path, "call") for path in files]
