"""What a session makes of a fixed story of steps: it may change only together with `RULES`.

``python -m tests.golden.session_rules`` (with ``PYTHONPATH=functions:.``) adds this code's hash
under its `RULES`, and never changes one that is there.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np

from linewatch.calls import Channel, ChannelKey, End, Gap, GapReason
from linewatch.decoder.recognition.lengths import RULES
from linewatch.decoder.recognition.session import Session
from tests.golden.checkpoints import CountingRecognizers
from tests.support import fakes

FILE = Path(__file__).with_name("session-rules.json")
#: At 16 kHz nothing is resampled, so every sample is the same on every machine and may be hashed.
#: At 8 kHz words are counted only.
CASES = [
    (16_000, fakes.HashRecognizers),
    (16_000, lambda: fakes.HashRecognizers(endpoints=False)),
    (8_000, CountingRecognizers),
]
_SPOKEN_S = (0.4, 1.7, 6.0, 31.0)
_SILENT_S = (0.2, 0.9, 3.0, 12.0)


def sound(random, rate_hz):
    """Return speech and silence by turns, made of whole numbers: no float may round differently."""
    # A long silence that is no edge yet, then speech: its end is decided by the tail's length.
    parts = [np.zeros(4 * rate_hz, int)]
    for number in range(12):
        at = np.arange(int((random.choice(_SPOKEN_S) if number else 31) * rate_hz))
        pitch = rate_hz // random.randint(90, 200)
        voice = (at % pitch < pitch // 8) * 9000 * (at % (rate_hz // 4) < rate_hz // 5)
        hiss = random.randint(-300, 300, len(at))
        parts += [voice + hiss, np.zeros(int(random.choice(_SILENT_S) * rate_hz), int)]
    return np.concatenate(parts).astype(np.int16)


def steps(seed, rate_hz):
    """Return a story of chunks of any size, sent twice in part, with gaps, to the end."""
    random = np.random.RandomState(seed)
    samples, at, seq = sound(random, rate_hz), 0, 0
    while at < len(samples):
        size = int(random.choice([160, 2000, 7001, rate_hz]))
        back = int(random.choice([0, 0, 0, 80]))
        audio = samples[max(0, at - back) : at + size]
        yield from fakes.chunks(
            audio, 60_000, rate_hz, codec=fakes.Codec.S16LE, seq=seq, position=max(0, at - back)
        )
        at, seq, odds = at + size, seq + 1, random.randint(40)
        if odds == 0:
            reason = GapReason(str(random.choice([each.value for each in GapReason])))
            at += int(random.choice([-80, 0, 500, rate_hz * 3]))
            yield Gap(seq, seq + 2, at, "s1", reason)
            seq += 2
        elif odds == 1:
            at += 333
    yield End(seq, "s1")


def edges():
    """Yield every edge of every case, as JSON, and the words so far after each step."""
    for seed, (rate_hz, recognizers) in enumerate(CASES):
        for channel in (Channel.AGENT, Channel.MIXED):
            key = ChannelKey.of("default", "golden", channel)
            session = Session(key, 1_700_000_000_000, rate_hz, recognizers())
            for step in steps(seed, rate_hz):
                yield from (asdict(edge) for edge in session.accept(step))
                yield {"partial": session.partial}


def made():
    """Return the hash of what this code makes of the story."""
    found = sha256()
    for each in edges():
        found.update(json.dumps(each, sort_keys=True, default=int).encode())
    return found.hexdigest()


if __name__ == "__main__":
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps({str(RULES): made(), **known}, indent=1, sort_keys=True) + "\n")
