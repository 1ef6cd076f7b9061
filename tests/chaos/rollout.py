"""Decoders replaced one by one by newer ones, whose sessions the old cannot read, amid calls."""

from __future__ import annotations

import time
from dataclasses import dataclass

from linewatch.decoder.store.store import VERSION
from tests.chaos.crowd import Crowd
from tests.chaos.faults import longest_refusal
from tests.chaos.oracle import Script
from tests.chaos.rig import rig
from tests.chaos.row import Row, quantile
from tests.chaos.verdict import Verdict, judged

#: A sender's attempts to which a 5xx is no news.
MOST_REFUSALS = 2
ADDED_S = 1.0
SCRIPTS = tuple(Script(seed, 12.0) for seed in range(6))
_CALM_S = 3.0


@dataclass(frozen=True, slots=True)
class Replaced:
    """What the callers noticed: replies' p99 in seconds before and amid, 5xx in a row."""

    verdict: Verdict
    before_s: float
    amid_s: float
    refusals: int


def rollout(chance, calls=20, pods=3):
    """Replace every one of *pods* decoders while *calls* calls go on at 1x."""
    made = replaced(chance, calls, pods)
    added_s = made.amid_s - made.before_s
    return Row(
        "rollout",
        15,
        f"{pods} decoders replaced one by one by newer code, both alive together",
        pods,
        made.verdict,
        f"reply p99 {1000 * made.amid_s:.0f} ms, {1000 * made.before_s:.0f} before;"
        f" longest run of 5xx on a channel {made.refusals}",
        passed=made.refusals <= 2 * MOST_REFUSALS,
        slow=added_s > 2 * ADDED_S,
        open=_missed(made.refusals, added_s),
    )


def _missed(refusals, added_s):
    if refusals > MOST_REFUSALS:
        return f"{refusals} refusals in a row, aim {MOST_REFUSALS}"
    return f"p99 is {added_s:.1f} s more, aim {ADDED_S:.0f}" if added_s > ADDED_S else ""


def replaced(chance, calls, pods):
    """See `rollout`."""
    with rig(pods) as site:
        with Crowd(site.fleet.urls, chance, count=calls, speed=1.0, scripts=SCRIPTS) as crowd:
            time.sleep(_CALM_S)
            since_s = time.monotonic()
            for old in tuple(site.fleet.decoders):
                _replace(site, crowd, old)
            until_s = time.monotonic()
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
    before_s = quantile(crowd.replies_s(until_s=since_s), 0.99)
    amid_s = quantile(crowd.replies_s(since_s, until_s), 0.99)
    refusals = longest_refusal(crowd.ear.answers)
    return Replaced(verdict, before_s, amid_s, refusals)


def _replace(site, crowd, old):
    """Start a newer one, then let *old* end as Kubernetes does: by SIGTERM, out of the list."""
    site.fleet.start(1, CHAOS_VERSION=str(VERSION + 1))
    site.fleet.decoders.remove(old)
    crowd.reach(site.fleet.urls)
    old.process.terminate()
    old.process.wait(30)
