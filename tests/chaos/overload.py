"""Twice the calls there is room for: the new are refused, those going on do not notice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.crowd import GONE, OK, UNAVAILABLE, Crowd
from tests.chaos.groups import asked_for_a_call
from tests.chaos.oracle import Script
from tests.chaos.rig import rig
from tests.chaos.row import Row, quantile
from tests.chaos.soak import rss_mib
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import eventually

#: Calls for which there is room; so many more come.
CALLS = 20
#: So that those that are to be taken are taken at once: a decoder knows how full the other was
#: a second ago.
SPARE_CHANNELS = 2
DECODERS = 2
SPARE_S = 12
SLOWER = 1.5
#: Below this a ratio is the scheduler's.
LEAST_S = 0.02
MOST_MIB = 10.0
CALM_S = 10.0


def overload(chance, for_s=20.0):
    """Let as many calls again come as there is room for, for *for_s*."""
    lasts_s = CALM_S + for_s + max(SPARE_S, for_s / 2)
    scripts = tuple(Script(seed, lasts_s) for seed in (1, 2))
    with rig(DECODERS, CAPACITY=str(CALLS + SPARE_CHANNELS)) as site:
        workers = [decoder.worker for decoder in site.fleet.decoders]
        with Crowd(site.fleet.urls, chance, count=CALLS, speed=1.0, scripts=scripts) as crowd:
            eventually(lambda: _taken(crowd) == 2 * CALLS, 30, what="all are taken")
            # A call that followed one of them would be a new one, and refused like the others.
            crowd.begin_no_more()
            time.sleep(2)
            marks = [time.monotonic()]
            time.sleep(CALM_S)
            before_mib = sum(map(rss_mib, workers))
            marks.append(time.monotonic())
            more = _come(site, chance, for_s)
            marks.append(time.monotonic())
            grown_mib = sum(map(rss_mib, workers)) - before_mib
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
    return _row(verdict, crowd, marks, more, grown_mib)


@dataclass(frozen=True, slots=True)
class Slowed:
    """p95 of replies in a calm time and in a crowded one after it."""

    calm_s: float
    crowded_s: float

    @classmethod
    def of(cls, crowd, marks):
        """Compare the time between the first two *marks* with that between the last two."""
        return cls(*(quantile(crowd.replies_s(*each), 0.95) for each in pairwise(marks)))

    @property
    def ratio(self):
        """How many times longer a reply took."""
        return self.crowded_s / max(self.calm_s, LEAST_S)

    @property
    def is_slow(self):
        """Tell whether it is above twice the aim."""
        return self.ratio > 2 * SLOWER

    @property
    def missed(self):
        """Say by how much the aim is missed."""
        return f"p95 is {self.ratio:.1f} times what it was, aim {SLOWER}" * (self.ratio > SLOWER)

    def __str__(self):
        return f"{1000 * self.crowded_s:.0f} ms, {1000 * self.calm_s:.0f} before"


def _taken(crowd):
    """Return how many channels were let in: one that was not would compete with those to come."""
    return len({answer.key for answer in list(crowd.ear.answers) if answer.status == OK})


def _come(site, chance, for_s):
    scripts = (Script(3, for_s),)
    # Patient callers would fall silent: a channel let in whose other one is refused is then
    # given up after IDLE_S, as it must be, and its room taken by another.
    with Crowd(
        site.fleet.urls,
        chance,
        count=CALLS,
        speed=1.0,
        scripts=scripts,
        prefix="more",
        patient=False,
    ) as more:
        time.sleep(for_s / 2)
        status, retry = asked_for_a_call(site.fleet.urls, "one-more")
        time.sleep(for_s / 2)
        for line in more.lines.values():
            line.abandon()
        return {"answers": list(more.ear.answers), "status": status, "retry": retry}


def _row(verdict, crowd, marks, more, grown_mib):
    _, come_s, gone_s = marks
    slowed = Slowed.of(crowd, marks)
    statuses = [answer.status for answer in more["answers"]]
    refused = statuses.count(UNAVAILABLE)
    let_in = {answer.key for answer in more["answers"] if answer.status == OK}
    return Row(
        "overload",
        20,
        f"twice the calls there is room for ({2 * CALLS}), {gone_s - come_s:.0f} s",
        1,
        verdict,
        f"new calls refused 503 {refused} times (Retry-After {more['retry']} s),"
        f" {len(let_in)} of their {2 * CALLS} channels let in;"
        f" p95 of accepted {slowed}; memory {grown_mib:+.1f} MiB",
        passed=refused > 0
        and len(let_in) <= DECODERS * SPARE_CHANNELS
        # No call is ended while its caller tries on.
        and GONE not in statuses
        and more["status"] == UNAVAILABLE
        and more["retry"] is not None
        and grown_mib <= MOST_MIB,
        slow=slowed.is_slow,
        open=slowed.missed,
    )
