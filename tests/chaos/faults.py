"""Faults of the parts a decoder stands on: its store, Redis itself, the relay, the process' end."""

from __future__ import annotations

import os
import signal
import time
from itertools import groupby

from linewatch.gateway.decoders import READ_S
from tests.chaos.crowd import OK, Crowd
from tests.chaos.kills import BRIEF, SCRIPTS
from tests.chaos.rig import rig
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import eventually

UNAVAILABLE = 500


def played(site, chance, disturb, *, calls=10, speed=4.0, read_s=READ_S, scripts=SCRIPTS):
    """Let *calls* calls go on while *disturb* runs; return the verdict and the crowd."""
    with Crowd(
        site.fleet.urls, chance, count=calls, speed=speed, scripts=scripts, read_s=read_s
    ) as crowd:
        time.sleep(1)
        disturb(crowd)
        said = crowd.finish()
    site.drain()
    return judged(site.client, crowd) + Verdict(lost=not said), crowd


def calm(chance, for_s):
    """Disturb nothing for *for_s*; see `played`."""
    with rig(3) as site:
        return played(site, chance, lambda _: time.sleep(for_s))


def store_faults(chance, chunks, rate=0.01):
    """Let *rate* of the store's commands fail, time out, or take effect and time out, each.

    Returns:
        The verdict, the steps answered 200, the longest run of 5xx one channel saw, and how many
        runs so long were to be expected.
    """
    faults = f"{rate},{rate},{rate}"
    with rig(3, CHAOS_FAULTS=faults, CHAOS_SEED=str(chance.random())) as site:

        def until_enough(crowd):
            patience_s = 600 + chunks / 50
            eventually(
                lambda: _taken(crowd) >= chunks,
                patience_s,
                what=f"{chunks} steps are taken",
                every_s=1,
            )

        verdict, crowd = played(site, chance, until_enough, speed=8.0)
        longest = longest_refusal(crowd.ear.answers)
        return verdict, _taken(crowd), longest, by_chance(crowd.ear.answers, longest)


def by_chance(answers, length):
    """Return how many runs of at least *length* 5xx come if each answer draws its own fate."""
    refused = [answer.status >= UNAVAILABLE for answer in list(answers)]
    share = sum(refused) / len(refused)
    return len(refused) * (1 - share) * share**length


def _taken(crowd):
    return sum(answer.status == OK for answer in list(crowd.ear.answers))


def longest_refusal(answers):
    """Return the longest run of 5xx answers that one channel got."""
    by_key = {}
    for answer in list(answers):
        by_key.setdefault(answer.key, []).append(answer.status >= UNAVAILABLE)
    return max(
        (sum(run) for each in by_key.values() for bad, run in groupby(each) if bad), default=0
    )


def redis_killed(chance, times, down_s=5.0):
    """Kill Redis (AOF) *times* and bring it back after *down_s*, at 1x; see `played`."""
    with rig(3) as site:

        def kill(_):
            for _ in range(times):
                time.sleep(chance.uniform(0.5, 1.5))
                site.stop_redis()
                time.sleep(down_s)
                site.restart_redis()
                time.sleep(2)

        return played(site, chance, kill, speed=1.0, scripts=BRIEF)


def relays_killed(chance, times):
    """Kill a decoder whose relay stands between the log's acknowledgement and the deletion."""
    with rig(3) as site:

        def kill(_):
            for _ in range(times):
                decoder = chance.choice(site.fleet.decoders)
                decoder.trap.arm("relay")
                eventually(
                    lambda d=decoder: d.trap.sprung() is not None, 60, what="a relay publishes"
                )
                os.kill(decoder.worker, signal.SIGKILL)
                site.fleet.wait_ready(decoder)

        return played(site, chance, kill)


def skewed(chance, for_s):
    """Let the decoders' clocks be five minutes apart, and kill one; see `played`."""
    with rig(2, CHAOS_SKEW_S="-300") as site:
        (late,) = site.fleet.start(1, CHAOS_SKEW_S="300")

        def kill(_):
            time.sleep(for_s)
            os.kill(late.worker, signal.SIGKILL)
            site.fleet.wait_ready(late)
            time.sleep(1)

        return played(site, chance, kill)


def slow_owner(chance, for_s):
    """Let one of two owners be slower than its callers talk; see `played`.

    Returns:
        The verdict, and how many sessions were adopted, which must be none.
    """
    with rig(1, CHAOS_WORK_S="0.15", DECODE_THREADS="2") as site:
        site.fleet.start(1)
        verdict, _ = played(
            site, chance, lambda _: time.sleep(for_s), calls=8, speed=2.0, scripts=BRIEF
        )
        return verdict, site.fleet.metric("linewatch_decoder_adoptions_total")
