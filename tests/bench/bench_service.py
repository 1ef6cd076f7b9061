"""What the decoder's service adds to its recognizer, in CPU, on talking chunks of 250 ms.

``python -m tests.bench.bench_service``. *bare* is the ungated recognizer with its
frontend and a partial after each chunk. *owned* and *forwarded* are whole decoders (HTTP,
store, relay, all threads) that get the same chunks on a mixed channel, which has no gate.
All three get the chunks of four streams in turns, one at a time: two decodes at once would
slow each other through cache and memory. For the same reason the bare recognizer has as
many processes as there are decoders, each with its own copy of the model and half of the
streams: two copies take each other's place in the cache, which is not the service's doing.
CPU is the decoders' own, user and system; what Redis itself uses is stated beside it. The
bare one pauses between chunks as live audio does, for a tight loop keeps its caches warm.
Decoders and bare recognizers run on the first core, caller and Redis on the last. The three
take turns of a second, for a shared machine is now faster and now slower; the ratio is the
median of the ratios of whole rounds, each of new calls.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from infra.launcher import redis_server
from infra.model import preparation
from linewatch.calls import Channel, ChannelKey, Chunk, Codec, End
from linewatch.decoder.recognition import recognizer
from linewatch.decoder.recognition.frontend import Frontend, pcm
from linewatch.step_requests import ChannelRequests
from tests.bench import recordings
from tests.support.decoders import REAL, Fleet

RATE_HZ = 8000
PIECE = RATE_HZ // 4
STREAMS = 4
DECODERS = 2
CHUNKS = 120
#: How many chunks of each stream one of the three gets before the next one's turn.
TURN = 15
ROUNDS = 7
#: About the time between two chunks in the service: without it the caches never cool.
PAUSE_S = 0.003
_LOUD = 0.02
_CORES = range(os.cpu_count() or 1)
_TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = {"owned": 0.20, "forwarded": 0.40}


def run_on(core):
    """Let this process, and those it starts from now on, run on one core: 0 first, -1 last."""
    os.sched_setaffinity(0, {_CORES[core]})


def talking():
    """Return *STREAMS* lists of mu-law chunks in which somebody talks."""
    streams = []
    for path in sorted(recordings.DEMO.glob("*.wav"))[:STREAMS]:
        audio = recordings.wav.read(path).channels[0] + recordings.wav.read(path).channels[1]
        pieces = [audio[i : i + PIECE] for i in range(0, len(audio) - PIECE, PIECE)]
        loud = [piece for piece in pieces if _level(piece) > _LOUD]
        streams.append((loud * (CHUNKS // len(loud) + 1))[:CHUNKS])
    return streams


def _level(piece):
    return float(np.sqrt(np.mean((pcm(Codec.PCMU, piece) / 32768.0) ** 2)))


def bare():
    """Decode what it is told to; runs in a process of its own.

    A line of stdin names the stream whose next chunk is decoded. An empty line asks for the CPU
    seconds that decoding took since the last such line; ``anew`` begins the streams anew.
    """
    run_on(0)
    recognizers = recognizer.load(preparation.prepare())
    streams = talking()
    taken_s, ears = 0.0, {}
    for line in sys.stdin:
        told = ""
        name = line.strip()
        if name == "anew":
            ears = {}
        elif name:
            if name not in ears:
                ears[name] = Bare(recognizers, streams[int(name)])
            begun_s = time.process_time()
            ears[name].hear()
            taken_s += time.process_time() - begun_s
        else:
            told, taken_s = str(taken_s), 0.0
        print(told, flush=True)


class Bare:
    """One stream on the recognizer alone."""

    def __init__(self, recognizers, pieces):
        self._recognizers = recognizers
        self._pieces = iter(pieces)
        self._position = 0
        self._begin_anew()

    def _begin_anew(self):
        self._ear, self._front = self._recognizers.fresh(), Frontend(self._position, RATE_HZ)

    def hear(self):
        """Decode the next chunk."""
        piece = next(self._pieces)
        self._position += PIECE
        if self._ear.accept(self._front.feed(pcm(Codec.PCMU, piece))):
            self._ear.final()
            self._begin_anew()
        else:
            self._ear.partial()


class Bares:
    """Processes of `bare`: same kernels, same allocator, same core as the decoders."""

    def __init__(self, count):
        command = [sys.executable, "-m", "tests.bench.bench_service", "--bare"]
        self._processes = [
            subprocess.Popen(
                command,
                env={**os.environ, **preparation.decoder_env()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.communicate()

    def measured(self, turn):
        """Let each decode its streams' chunks *turn*, one at a time; return their CPU seconds."""
        for _ in turn:
            for stream in range(STREAMS):
                _told(self._processes[stream % len(self._processes)], stream)
                time.sleep(PAUSE_S)
        return sum(float(_told(process)) for process in self._processes)

    def end(self):
        """Begin the streams anew."""
        for process in self._processes:
            _told(process, "anew")


def _told(process, line=""):
    print(line, file=process.stdin, flush=True)
    return process.stdout.readline()


def cpu_s(pid):
    """Return a process's CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Caller:
    """One stream on a kept connection to each of two homes: the first chunk to one, then on."""

    def __init__(self, call, homes):
        key = ChannelKey("default", call, Channel.MIXED)
        self._requests = ChannelRequests(key, "bench", 1_767_225_600_000)
        self._homes = [http.client.HTTPConnection(home.removeprefix("http://")) for home in homes]
        self._after, self._cookie = -1, ""

    def send(self, seq, piece):
        """Send one chunk and take in the answer."""
        self._ask(seq, Chunk(seq, seq * PIECE, "bench", Codec.PCMU, RATE_HZ, piece))

    def end(self, seq):
        """End the call, so that the next turn finds the decoders as this one did."""
        self._ask(seq, End(seq, "bench"))

    def _ask(self, seq, step):
        request = self._requests.step(step, self._after)
        headers = {**request.headers, **({"cookie": self._cookie} if self._cookie else {})}
        connection = self._homes[min(seq, 1)]
        connection.request("POST", request.path, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        self._cookie = (answer.headers.get("set-cookie") or self._cookie).partition(";")[0]
        for final in json.loads(body)["finals"]:
            self._after = final["first_sample"]


class Service:
    """Decoders, each of which owns half of the streams, with one call for each stream."""

    def __init__(self, fleet, redis_pid, name, *, forwarded):
        self._pids = [decoder.worker for decoder in fleet.decoders]
        self._redis_pid = redis_pid
        self._streams = talking()
        self._callers = []
        self.redis_s = 0.0
        for number in range(STREAMS):
            home, other = fleet.urls[:: 1 if number % 2 else -1]
            homes = (home, other if forwarded else home)
            self._callers.append(Caller(f"bench-{name}-{number}", homes))

    def measured(self, turn):
        """Send each stream's chunks *turn*, one at a time; return the decoders' CPU seconds."""
        before, redis_before = sum(map(cpu_s, self._pids)), cpu_s(self._redis_pid)
        for seq in turn:
            for caller, pieces in zip(self._callers, self._streams, strict=True):
                caller.send(seq, pieces[seq])
        self.redis_s += cpu_s(self._redis_pid) - redis_before
        return sum(map(cpu_s, self._pids)) - before

    def end(self):
        """End the calls."""
        for caller in self._callers:
            caller.end(CHUNKS)


def measured_round(contenders):
    """Let *contenders* take turns at the same chunks; return the CPU seconds of each."""
    took = dict.fromkeys(contenders, 0.0)
    for begin in range(0, CHUNKS, TURN):
        for name, each in contenders.items():
            took[name] += each.measured(range(begin, begin + TURN))
    for each in contenders.values():
        each.end()
    return took


def commit_p50_ms(fleet):
    """Return the median time of a fenced commit, interpolated in its histogram's bucket."""
    edges, below = [], []
    for decoder in fleet.decoders:
        text = urlopen(f"{decoder.url}/metrics").read().decode()
        rows = [r for r in text.splitlines() if r.startswith("linewatch_decoder_commit_seconds_b")]
        edges = [float(r.split('le="')[1].split('"')[0]) for r in rows]
        counts = [float(r.split()[1]) for r in rows]
        below = counts if not below else [a + b for a, b in zip(below, counts, strict=True)]
    half, floor, seen = below[-1] / 2, 0.0, 0.0
    for edge, count in zip(edges, below, strict=True):
        if count >= half:
            return 1000 * (floor + (edge - floor) * (half - seen) / max(count - seen, 1))
        floor, seen = edge, count
    return float("nan")


def measure():
    """Let the three take turns; return their CPU seconds and the commit's median."""
    run_on(-1)
    port = redis_server.free_port()
    server = redis_server.start(port, Path(tempfile.mkdtemp(prefix="linewatch-bench-")))
    found = {"bare": [], "owned": [], "forwarded": [], "redis": []}
    env = {**preparation.decoder_env(), "VOSK_MODEL_PATH": str(preparation.prepare())}
    try:
        with Fleet(f"redis://127.0.0.1:{port}/0", REAL, **env) as fleet, Bares(DECODERS) as bares:
            run_on(0)
            fleet.start(DECODERS)
            run_on(-1)
            for number in range(ROUNDS):
                own = Service(fleet, server.pid, f"o{number}", forwarded=False)
                forward = Service(fleet, server.pid, f"f{number}", forwarded=True)
                took = measured_round({"bare": bares, "owned": own, "forwarded": forward})
                for name, seconds in {**took, "redis": own.redis_s}.items():
                    found[name].append(seconds)
            commit_ms = commit_p50_ms(fleet)
    finally:
        server.terminate()
        server.wait()
    return found, commit_ms


def _each_ms(seconds):
    return 1000 * statistics.median(seconds) / (STREAMS * CHUNKS)


def main():
    """Print the table; return 1 when a limit is passed."""
    found, commit_ms = measure()
    print("service CPU over the bare ungated recognizer, talking chunks of 250 ms, medians")
    print(f"  bare recognizer  {_each_ms(found['bare']):6.2f} ms a chunk")
    missed = 0
    for name, limit in LIMITS.items():
        ratios = [of / bare for of, bare in zip(found[name], found["bare"], strict=True)]
        over = statistics.median(ratios) - 1
        missed += over > limit
        told = f"{_each_ms(found[name]):6.2f} ms a chunk  {over:+6.1%}  limit {limit:.0%}"
        print(f"  {name:<15}  {told}  rounds {' '.join(f'{each - 1:+.0%}' for each in ratios)}")
    print(f"  Redis server     {_each_ms(found['redis']):6.2f} ms a chunk, not in the above")
    print(f"fenced commit inside the service, p50  {commit_ms:.2f} ms  limit 0.5 ms")
    return int(missed > 0 or commit_ms > 0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bare", action="store_true")
    if parser.parse_args().bare:
        bare()
    else:
        sys.exit(main())
