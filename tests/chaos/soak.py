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
from tests.chaos.rig import rig
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import TooLong, eventually

MOST_MIB_H = 1.0
SAMPLE_S = 5.0
#: The first part of the time is warm-up: arenas and caches fill.
WARM_UP = 0.3
#: The background threads of two decoders may ask Redis at once, or one after the other.
MOST_LEFT = 4
#: Who opened an idle connection closes it within 60 s, who was called after 75.
IDLE_S = 90
#: One lost in a hundred calls is 40 an hour.
MOST_GROWN = 8
#: Nobody waits an hour for calls that do not go on.
STUCK_S = 60
_PARTS = 10
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak found: the worst RSS slope, descriptors above those before, keys left.

    *rss_mib*, of the decoder that grew most, and *opened*, descriptors of both, are means of ten
    parts of the time.
    """

    verdict: Verdict
    slope_mib_h: float
    descriptors: int
    keys: int
    rss_mib: list[float]
    opened: list[float]

    @property
    def grown(self):
        """Descriptors that the last part of the time had above the first one after warm-up."""
        return self.opened[-1] - self.opened[round(WARM_UP * _PARTS)]


def soaked(chance, for_s):
    """Let thirty calls with churn go on for *for_s*."""
    with rig(2) as site:
        workers = [decoder.worker for decoder in site.fleet.decoders]
        before = _open(workers)
        with Crowd(site.fleet.urls, chance, count=30, speed=1.0, scripts=SCRIPTS) as crowd:
            taken = _watch(workers, for_s, crowd.ear)
            said = crowd.finish()
        crowd.ear.transport.close()
        site.drain()
        eventually(
            lambda: not _left(site.client), 30, what="what calls leave is cleared", every_s=0.5
        )
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
        with contextlib.suppress(TooLong):
            eventually(
                lambda: _open(workers) <= before, IDLE_S, what="descriptors are closed", every_s=1.0
            )
        worst = max(taken.values(), key=_slope)
        opened = np.sum([_parts(samples, 2) for samples in taken.values()], axis=0).tolist()
        grown, left = _open(workers) - before, _left(site.client)
        return Soaked(verdict, _slope(worst), grown, left, _parts(worst, 1), opened)


def _open(pids):
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def _watch(pids, for_s, ear):
    taken = {pid: [] for pid in pids}
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        if time.monotonic() > ear.taken_s + STUCK_S:
            raise TooLong(f"no step was taken for {STUCK_S} s")
        for pid in pids:
            taken[pid].append((time.monotonic(), rss_mib(pid), _open([pid])))
        time.sleep(SAMPLE_S)
    return taken


def _slope(samples):
    """Return MiB per hour by least squares, without the warm-up."""
    at, rss, _ = np.array(samples[int(WARM_UP * len(samples)) :]).T
    return float(np.polyfit(at, rss, 1)[0] * 3600)


def _parts(samples, column):
    parts = np.array_split([each[column] for each in samples], _PARTS)
    return [float(part.mean()) for part in parts]


def rss_mib(pid):
    """Return the memory of a process that is resident, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def _left(client):
    """Count what no ended call may leave: sessions in the index, tails, hashes of steps."""
    tails = sum(1 for _ in client.scan_iter("s:*:t*"))
    return client.zcard(keys.SESSIONS) + tails
