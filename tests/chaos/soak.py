"""Thirty calls that come and go for long: what grows, and what is left afterwards."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linewatch import keys
from tests.chaos.crowd import Crowd
from tests.chaos.kills import SCRIPTS
from tests.chaos.rig import TooLong, rig, within
from tests.chaos.verdict import Verdict, judged

MOST_MIB_H = 1.0
SAMPLE_S = 5.0
#: The first part of the time is warm-up: arenas and caches fill.
WARM_UP = 0.3
#: Each of two decoders keeps one connection to Redis and one to the other for each of 16 threads.
POOLED = 64
IDLE_S = 90
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak found: descriptors above those before, keys left, and how memory went.

    *slope_mib_h* and *rss_mib*, means of ten parts of the time, are of the decoder that grew most.
    """

    verdict: Verdict
    slope_mib_h: float
    rss_mib: list[float]
    descriptors: int
    keys: int


def soaked(chance, for_s):
    """Let thirty calls with churn go on for *for_s*."""
    with rig(2) as site:
        workers = [decoder.worker for decoder in site.fleet.decoders]
        before = _open(workers)
        with Crowd(site.fleet.urls, chance, count=30, speed=1.0, scripts=SCRIPTS) as crowd:
            taken = _watch(workers, for_s)
            said = crowd.finish()
        crowd.ear.transport.close()
        site.drain()
        within(30, lambda: not _left(site.client), "what calls leave is cleared", 0.5)
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
        # Connections nobody uses are closed after 75 s.
        with contextlib.suppress(TooLong):
            within(IDLE_S, lambda: _open(workers) <= before, "descriptors are closed", 1.0)
        worst = max(taken.values(), key=_slope)
        grown = _open(workers) - before
        return Soaked(verdict, _slope(worst), _tenths(worst), grown, _left(site.client))


def _open(pids):
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def _watch(pids, for_s):
    taken = {pid: [] for pid in pids}
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        for pid in pids:
            taken[pid].append((time.monotonic(), _rss_mib(pid)))
        time.sleep(SAMPLE_S)
    return taken


def _slope(samples):
    """Return MiB per hour by least squares, without the warm-up."""
    at, rss = np.array(samples[int(WARM_UP * len(samples)) :]).T
    return float(np.polyfit(at, rss, 1)[0] * 3600)


def _tenths(samples):
    return [float(part.mean()) for part in np.array_split([rss for _, rss in samples], 10)]


def _rss_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def _left(client):
    """Count what no ended call may leave: sessions in the index, tails, hashes of steps."""
    tails = sum(1 for _ in client.scan_iter("s:*:t*"))
    return client.zcard(keys.SESSIONS) + tails
