"""Real calls on the real recognizer, a decoder killed every ten seconds: not a byte differs."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from functools import cache

from infra.model import preparation
from linewatch.calls import Channel
from linewatch.gateway.playing import wav
from tests.bench import recordings
from tests.chaos.crowd import Crowd
from tests.chaos.oracle import RATE_HZ
from tests.chaos.rig import rig
from tests.chaos.row import Row, quantile
from tests.chaos.verdict import TOPICS, Verdict, _compared, copies

EVERY_S = 10.0
MARGIN_S = 6.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A real two-channel call, said again and again for *duration_s*."""

    number: int
    duration_s: float

    def audio(self):
        """Return channel -> mu-law bytes."""
        return _audio(self)


@cache
def _audio(recording):
    paths = sorted(recordings.DEMO.glob("*.wav"))
    sides = wav.read(paths[recording.number % len(paths)]).channels
    wanted = int(recording.duration_s * RATE_HZ)
    return {
        channel: bytes(side * (wanted // len(side) + 1))[:wanted]
        for channel, side in zip((Channel.AGENT, Channel.CUSTOMER), sides, strict=True)
    }


def real(chance):
    """Kill a decoder every ten seconds for ``REAL_S`` (300) under ``REAL_CALLS`` (16) calls.

    At 60 % two cores carry some 20 (bench_road); the rest is for replays and the callers.
    """
    calls, for_s = int(os.environ.get("REAL_CALLS", "16")), float(os.environ.get("REAL_S", "300"))
    seed = chance.random()
    calm, _, _ = _run(seed, calls, for_s, speed=2.0, kills=False)
    found, crowd, kills = _run(seed, calls, for_s, speed=1.0, kills=True)
    verdict = Verdict(calls=calls, lost=not crowd)
    for topic in TOPICS:
        expected = {name: each[0] for name, each in calm[topic].items()}
        verdict += _compared(found[topic], expected, frozenset())
    took = crowd.replies_s()
    return Row(
        "real",
        22,
        f"real recognizer, {calls} real two-channel calls at 1x, a decoder killed every 10 s",
        kills,
        verdict,
        f"{verdict.events} events; chunk replies p50 {1000 * quantile(took, 0.5):.0f} ms,"
        f" p95 {1000 * quantile(took, 0.95):.0f} ms",
        passed=kills > 0 and verdict.events > 0,
    )


def _run(seed, calls, for_s, *, speed, kills):
    env = {"VOSK_MODEL_PATH": str(preparation.prepare()), "CHAOS_REAL": "1"}
    scripts = tuple(Recording(number, for_s + MARGIN_S) for number in range(calls))
    count = 0
    with rig(2, **env) as site:
        crowd = Crowd(
            site.fleet.urls, random.Random(seed), count=calls, speed=speed, scripts=scripts
        )
        with crowd:
            ends_s = time.monotonic() + for_s / speed
            while time.monotonic() < ends_s:
                time.sleep(min(EVERY_S, max(0.0, ends_s - time.monotonic())))
                if kills and time.monotonic() < ends_s:
                    victim = site.fleet.decoders[count % 2]
                    os.kill(victim.worker, signal.SIGKILL)
                    count += 1
            assert crowd.finish(), "not all was taken"
        site.drain()
        return copies(site.client, set(crowd.scripts)), crowd, count
