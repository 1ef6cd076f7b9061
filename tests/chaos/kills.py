"""SIGKILL at any moment: a whole decoder, or only the worker whose master brings it back."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from tests.chaos.crowd import Crowd
from tests.chaos.oracle import Script
from tests.chaos.rig import rig
from tests.chaos.row import quantile
from tests.chaos.verdict import Verdict, judged

SCRIPTS = tuple(Script(seed, 24.0) for seed in range(6))
#: For runs at 1x, which would else wait long for their calls' ends.
BRIEF = tuple(Script(seed, 8.0) for seed in range(6))
RECOVERY_S = 20


def killed(chance, count, *, whole=False):
    """Kill decoders *count* times; see `ended`."""
    return ended(chance, count, _kill_whole if whole else _kill_worker)


def terminated(chance, count):
    """Send decoders a SIGTERM *count* times and start them anew; see `ended`."""
    return ended(chance, count, _terminate)


def ended(chance, count, end):
    """End decoders *count* times while ten calls go on at 4x.

    Returns:
        The verdict, and the seconds from each kill to each channel's first answer.
    """
    recoveries = []
    with rig(3) as site:
        with Crowd(site.fleet.urls, chance, count=10, scripts=SCRIPTS) as crowd:
            time.sleep(1)
            for _ in range(count):
                recoveries += _end_one(site, crowd, chance, end)
                time.sleep(chance.uniform(0, 0.3))
            said = crowd.finish()
        site.drain()
        return judged(site.client, crowd) + Verdict(lost=not said), recoveries


@dataclass(frozen=True, slots=True)
class Recovery:
    """How calls came back at 1x: seconds to each channel's first answer, and what it cost.

    *replay_ms* is the mean of one session's replay, *channels* those that were on the dead.
    """

    verdict: Verdict
    seconds: list[float]
    channels: int
    replay_ms: float


def recovered(chance, calls, times, *, stopped=False):
    """End one of two decoders with about *calls* calls each, *times*; calls run at 1x.

    It is killed as a whole; or *stopped* longer than its lease lasts.
    """
    seconds = []
    with rig(2) as site:
        scripts = tuple(Script(seed, 8.0 * times) for seed in range(6))
        with Crowd(site.fleet.urls, chance, count=2 * calls, speed=1.0, scripts=scripts) as crowd:
            time.sleep(4)
            for _ in range(times):
                end = _stop_worker if stopped else _kill_whole
                seconds += _end_one(site, crowd, chance, end)
                # The load is even again before the next.
                time.sleep(3)
            replays = site.fleet.metric("linewatch_decoder_replay_seconds_count") or 1
            replay_s = site.fleet.metric("linewatch_decoder_replay_seconds_sum")
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
    return Recovery(verdict, seconds, len(seconds), 1000 * replay_s / replays)


@dataclass(frozen=True, slots=True)
class Harried:
    """Calls under kills: how many, each channel's seconds to come back, replies' p95."""

    verdict: Verdict
    kills: int
    seconds: list[float]
    p95_s: float


def harried(chance, calls, for_s, every_s=10.0):
    """Kill a whole decoder every *every_s* for *for_s* while *calls* calls go on at 1x."""
    seconds, count = [], 0
    with rig(3) as site:
        with Crowd(site.fleet.urls, chance, count=calls, speed=1.0, scripts=SCRIPTS) as crowd:
            begun_s = time.monotonic()
            while (count + 1) * every_s < for_s:
                count += 1
                time.sleep(max(0.0, begun_s + count * every_s - time.monotonic()))
                seconds += _end_one(site, crowd, chance, _kill_whole)
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
    return Harried(verdict, count, seconds, quantile(crowd.replies_s(), 0.95))


def _kill_whole(site, victim):
    os.killpg(victim.process.pid, signal.SIGKILL)
    victim.process.wait()
    return lambda: site.fleet.replace(victim)


def _kill_worker(_, victim):
    os.kill(victim.worker, signal.SIGKILL)
    return lambda: None


def _terminate(site, victim):
    victim.process.terminate()

    def start_anew():
        victim.process.wait(30)
        site.fleet.replace(victim)

    return start_anew


def _stop_worker(_, victim):
    pid = victim.worker
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def _loaded(site, crowd, chance):
    """Return a decoder and the channels it owns: some, unless none of the decoders has any."""
    for victim in chance.sample(site.fleet.decoders, len(site.fleet.decoders)):
        pod = site.pod_of(victim)
        channels = site.owned_by(pod, crowd.live) if pod else []
        if channels:
            break
    return victim, channels


def _end_one(site, crowd, chance, end):
    """End one decoder, wait until its calls go on elsewhere, and bring it back."""
    victim, channels = _loaded(site, crowd, chance)
    # At any moment of what it does with them.
    time.sleep(chance.uniform(0, 0.05))
    ended_s = time.monotonic()
    bring_back = end(site, victim)
    try:
        found = crowd.recoveries(channels, ended_s, RECOVERY_S)
    finally:
        bring_back()
    site.fleet.wait_ready(victim)
    return found
