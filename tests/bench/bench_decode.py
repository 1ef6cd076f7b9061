"""Decoding against vosk-server's way: CPU, words and memory.

``python -m tests.bench.bench_decode`` runs each side in processes of its own and prints a
table. CPU is the process's own time while it decodes; loading the model is left out. Each
side runs as it ships: ours with jemalloc, pinned kernels and the static graph; the peers
with the model as shipped (and ``allow-upsample``, or 8 kHz fails) and nothing set.

* server: one recognizer per channel, 200 ms a call, Result at endpoints, words on.
* fairer: the same, 250 ms a call, FinalResult at endpoints.

A static graph would speed the peers up too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jiwer

from infra.model import preparation
from linewatch.calls import ChannelKey, Chunk, Codec, End
from linewatch.decoder.recognition import recognizer
from linewatch.decoder.recognition.model_folder import Layout
from linewatch.decoder.recognition.session import Session
from tests.bench import recordings

SIDES = ("ours", "server", "fairer")
STREAMS = 4
STREAM_S = 15
RATIO_LIMIT = 0.20
WER_LIMIT = 11.5
MIB_LIMIT = 6
# The server takes 20 CPU-s for each of the demo's calls: a few say enough.
DEMO_CALLS = 3


class Ours:
    """A session of the decoder; the voice gate is on unless the channel is mixed."""

    chunk_ms = 250

    def __init__(self, recognizers, rate_hz, channel="agent"):
        self._session = Session(ChannelKey.of("bench", "call", channel), 0, rate_hz, recognizers)
        self._rate_hz = rate_hz
        self._position = 0
        self._said = []

    def hear(self, samples):
        """Take one chunk and ask for the partial, as the service does."""
        audio = samples.astype("<i2").tobytes()
        step = Chunk(0, self._position, "bench", Codec.S16LE, self._rate_hz, audio)
        self._position += len(samples)
        self._take(self._session.accept(step))
        return self._session.partial

    def end(self):
        """Return all words."""
        self._take(self._session.accept(End(0, "bench")))
        return " ".join(self._said)

    def _take(self, edges):
        self._said += [edge.utterance.text for edge in edges if edge.utterance]


class Peer:
    """What vosk-server's asr_server.py does with one connection."""

    def __init__(self, make, rate_hz, *, fairer):
        self.chunk_ms = 250 if fairer else 200
        self._kaldi = make(rate_hz)
        self._result = self._kaldi.FinalResult if fairer else self._kaldi.Result
        self._said = []

    def hear(self, samples):
        """Take one chunk; a partial is asked for between endpoints."""
        if self._kaldi.AcceptWaveform(samples.astype("<i2").tobytes()):
            self._said.append(json.loads(self._result())["text"])
        else:
            self._kaldi.PartialResult()

    def end(self):
        """Return all words."""
        self._said.append(json.loads(self._kaldi.FinalResult())["text"])
        return " ".join(text for text in self._said if text)


def decode(streams, channels):
    """Play *channels* at once, a chunk of each in turn; return the words of each."""
    at, going = [0] * len(streams), set(range(len(streams)))
    while going:
        for number in sorted(going):
            stream, channel = streams[number], channels[number]
            size = stream.chunk_ms * channel.rate_hz // 1000
            stream.hear(channel.samples[at[number] : at[number] + size])
            at[number] += size
            if at[number] >= len(channel.samples):
                going.discard(number)
    return [stream.end() for stream in streams]


def rss_kib():
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def measure_calls(fresh):
    """CPU seconds per second of call over all two-channel calls."""
    spent = heard = 0.0
    for sides in recordings.two_channel_calls(DEMO_CALLS):
        began = time.process_time()
        decode([fresh(side.rate_hz) for side in sides], sides)
        spent += time.process_time() - began
        heard += max(len(side.samples) / side.rate_hz for side in sides)
    return {"cpu_per_s": spent / heard, "call_s": heard}


def measure_words(fresh):
    """Errors and words by kind on the development set."""
    rows = {}
    for channel in recordings.development_set(DEMO_CALLS):
        (said,) = decode([fresh(channel.rate_hz)], [channel])
        counted = jiwer.process_words(channel.said, said)
        errors = counted.substitutions + counted.deletions + counted.insertions
        row = rows.setdefault(channel.kind, [0, 0])
        row[0] += errors
        row[1] += len(channel.said.split())
    return rows


def measure_memory(fresh):
    """KiB of resident memory that each further live stream takes while people speak."""
    known = recordings.development_set(DEMO_CALLS)
    talking = ([c for c in known if c.rate_hz == 16_000] or known)[: STREAMS + 1]
    kept, before = [], 0
    for number, channel in enumerate(talking):
        stream = fresh(channel.rate_hz)
        size = stream.chunk_ms * channel.rate_hz // 1000
        reached = 0
        while reached < STREAM_S * channel.rate_hz:
            at = reached % max(size, len(channel.samples) - size)
            stream.hear(channel.samples[at : at + size])
            reached += size
        kept.append(stream)
        if number == 0:
            before = rss_kib()
    return {"kib_per_stream": (rss_kib() - before) / (len(kept) - 1)}


MEASURES = {"calls": measure_calls, "words": measure_words, "memory": measure_memory}
#: The fairer peer differs from the server in its words only.
ASKED = {"calls": SIDES[:2], "words": SIDES, "memory": SIDES[:2]}


def ours():
    """Return how to make a stream of ours."""
    made = recognizer.load(Path(os.environ["VOSK_MODEL_PATH"]))
    return lambda rate_hz: Ours(made, rate_hz)


def peer(*, fairer):
    """Return how to make a stream of the peer, on the model as shipped."""
    vosk = recognizer.vosk
    vosk.SetLogLevel(-1)
    made = vosk.Model(os.environ["VOSK_MODEL_PATH"])

    def make(rate_hz):
        kaldi = vosk.KaldiRecognizer(made, rate_hz)
        kaldi.SetWords(True)
        return kaldi

    return lambda rate_hz: Peer(make, rate_hz, fairer=fairer)


def run_side(side, measure):
    """Measure in this process and print JSON; `ask` calls it in a new process."""
    fresh = ours() if side == "ours" else peer(fairer=side == "fairer")
    sys.stdout.write(json.dumps(MEASURES[measure](fresh)))


def ask(side, measure, folders):
    """Run one side in a process of its own, with the environment it ships with."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    env |= preparation.decoder_env() if side == "ours" else {}
    env["VOSK_MODEL_PATH"] = str(folders["ours" if side == "ours" else "peer"])
    command = [
        sys.executable,
        "-m",
        "tests.bench.bench_decode",
        "--side",
        side,
        "--measure",
        measure,
    ]
    told = subprocess.run(command, env=env, cwd=recordings.ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(told.stdout)


def shipped_with_upsampling(folder):
    """Lay the model out as shipped, apart from ``--allow-upsample``."""
    source = preparation.shipped()
    assert not Layout.of(source).is_static, f"{source} ships a static graph: the peer has none"
    for name in ("am", "graph", "ivector"):
        (folder / name).symlink_to(source / name)
    shutil.copytree(source / "conf", folder / "conf")
    conf = folder / "conf" / "mfcc.conf"
    text = conf.read_text()
    conf.unlink()
    conf.write_text(f"{text}\n--allow-upsample=true\n")
    return folder


def percent(rows):
    """Word error rate over all kinds."""
    return 100 * sum(row[0] for row in rows.values()) / sum(row[1] for row in rows.values())


def main():
    """Measure all sides, print the table, and fail where a row does not reach what it must."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--measure", choices=list(MEASURES))
    chosen = parser.parse_args()
    if chosen.side:
        run_side(chosen.side, chosen.measure)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"ours": preparation.prepare(), "peer": shipped_with_upsampling(Path(scratch))}
        found = {m: {s: ask(s, m, folders) for s in sides} for m, sides in ASKED.items()}
    return int(not report(found))


def report(found):
    """Print a row a line, a column a side, then what must be reached; tell whether all was."""
    calls, words, memory = (found[name] for name in MEASURES)
    sys.stdout.write(f"{'':34}" + "".join(f"{side:>10}" for side in SIDES) + "   must reach\n")
    cost = {side: calls[side]["cpu_per_s"] for side in calls}
    line(f"decode CPU-s per call-second ({calls['ours']['call_s']:.0f} s)", cost, "{:.4f}", "")
    ratio = {side: cost[side] / cost["server"] for side in cost}
    line("  over the server's", ratio, "{:.2f}", f"<= {RATIO_LIMIT:.2f}")
    errors = {side: percent(words[side]) for side in SIDES}
    line("WER, %", errors, "{:.1f}", f"<= {WER_LIMIT}, lowest")
    for kind in words["ours"]:
        rates = {s: percent({kind: words[s][kind]}) for s in SIDES}
        line(f"  {kind} ({words['ours'][kind][1]} words)", rates, "{:.1f}", "")
    mib = {s: memory[s]["kib_per_stream"] / 1024 for s in memory}
    line("MiB per further live stream", mib, "{:.1f}", f"<= {MIB_LIMIT}")
    return all(
        (
            ratio["ours"] <= RATIO_LIMIT,
            errors["ours"] <= WER_LIMIT,
            # Where there are the demo's clear voices only, the server may be the better one.
            not recordings.AUDIO.exists()
            or errors["ours"] < min(errors["server"], errors["fairer"]),
            mib["ours"] <= MIB_LIMIT,
        )
    )


def line(name, values, form, target):
    """Print one row."""
    shown = {side: form.format(value) for side, value in values.items()}
    row = "".join(f"{shown.get(side, '-'):>10}" for side in SIDES)
    sys.stdout.write(f"{name:34}{row}   {target}\n")


if __name__ == "__main__":
    sys.exit(main())
