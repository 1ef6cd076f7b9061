"""How well the demo's own calls are recognised, by the decoder's own session.

Run from the project's root: ``python -m tests.bench.bench_demo_calls``. Word error
rate per call: reference = the scripts, both channels; hypothesis = the finals of one
`Session` per channel, fed in chunks of 250 ms, voice gate included.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jiwer

from infra.model import preparation
from linewatch.calls import ChannelKey, Chunk, End
from linewatch.decoder.recognition.recognizer import Recognizers, load
from linewatch.decoder.recognition.session import Session
from linewatch.gateway.playing.recording import Recording

DEMO: Final = Path(__file__).resolve().parents[2] / "infra" / "recordings"
LIMIT: Final = 0.20
SHARED_MODEL: Final = (
    Path(__file__).resolve().parents[3] / "shared" / "models" / "vosk-model-small-en-us-0.15"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One call: how long it is, its words, and the share of them that was wrong."""

    name: str
    duration_s: float
    words: int
    by_channel: dict[str, float]
    wer: float


def heard(recording: Recording, channel: str, audio: bytes, recognizers: Recognizers) -> str:
    """Return the words of every final of one channel."""
    wav = recording.wav
    key = ChannelKey.of("default", "bench", channel)
    session = Session(key, 0, wav.rate_hz, recognizers)
    size = wav.rate_hz // 4
    steps = [
        Chunk(number, start, "bench", wav.codec, wav.rate_hz, audio[start : start + size])
        for number, start in enumerate(range(0, len(audio), size))
    ]
    edges = [edge for step in [*steps, End(len(steps), "bench")] for edge in session.accept(step)]
    return " ".join(edge.utterance.text for edge in edges if edge.utterance)


def measure(call: dict[str, Any], recognizers: Recognizers) -> Row:
    """Recognise one call and compare it with its script."""
    recording = Recording.of_file(DEMO / call["file"])
    said, found = [], []
    for channel, audio in zip(recording.channels, recording.wav.channels, strict=True):
        turns = [turn["text"] for turn in call["turns"] if turn["channel"] == channel]
        said.append(" ".join(turns))
        found.append(heard(recording, channel, audio, recognizers))
    by_channel = {
        str(channel): jiwer.wer(one, other)
        for channel, one, other in zip(recording.channels, said, found, strict=True)
    }
    words = sum(len(each.split()) for each in said)
    return Row(call["file"], recording.duration_s, words, by_channel, jiwer.wer(said, found))


def main() -> int:
    """Print the table; exit 1 when a call is above the limit."""
    env = dict(os.environ)
    if SHARED_MODEL.exists():
        env.setdefault("VOSK_MODEL_PATH", str(SHARED_MODEL))
    recognizers = load(preparation.prepare(env=env))
    calls = json.loads((DEMO / "calls.json").read_text())["calls"]
    rows = [measure(call, recognizers) for call in calls]
    out = [
        "| call | seconds | words | customer | agent | word error rate |",
        "|---|---|---|---|---|---|",
    ]
    out += [
        f"| {row.name} | {row.duration_s:.1f} | {row.words} | {row.by_channel['customer']:.1%}"
        f" | {row.by_channel['agent']:.1%} | {row.wer:.1%} |"
        for row in rows
    ]
    words = sum(row.words for row in rows)
    mean = sum(row.wer * row.words for row in rows) / words
    out.append(f"| all | {sum(row.duration_s for row in rows):.1f} | {words} | | | {mean:.1%} |")
    sys.stdout.write("\n".join(out) + f"\nmust reach: <= {LIMIT:.0%} per call\n")
    return int(max(row.wer for row in rows) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
