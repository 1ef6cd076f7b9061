"""SIGSTOP at a named point, the session moved, SIGCONT: the zombie's writes must not count."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from linewatch import keys
from tests.chaos.crowd import Crowd
from tests.chaos.kills import SCRIPTS
from tests.chaos.points import POINTS
from tests.chaos.rig import READY_S, rig
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import TooLong, eventually

SPRING_S = 20
MOVE_S = 20
#: Senders and forwards give up waiting for the stopped process so soon, to save time only.
READ_S = 0.4


@dataclass
class Zombies:
    """What became of a run's zombies; *rejected* counts writes turned away by kind."""

    verdict: Verdict = field(default_factory=Verdict)
    stopped: Counter = field(default_factory=Counter)
    rejected: Counter = field(default_factory=Counter)


def zombies(chance, each, *, points=POINTS, calls=10, unfenced=False):
    """Let *each* zombies stop at every point while *calls* calls go on at 4x."""
    env = {"CHAOS_READ_S": str(READ_S)}
    if unfenced:
        env["CHAOS_UNFENCED"] = "1"
    made = Zombies()
    order = [point for point in points for _ in range(each)]
    chance.shuffle(order)
    with rig(3, **env) as site:
        urls = site.fleet.urls
        with Crowd(urls, chance, count=calls, scripts=SCRIPTS, read_s=READ_S) as crowd:
            time.sleep(1)
            for point in order:
                _one(site, chance, point)
                made.stopped[point] += 1
            said = crowd.finish()
        try:
            site.drain()
        except TooLong:
            said = False
        made.verdict = judged(site.client, crowd) + Verdict(lost=not said)
        for decoder in site.fleet.decoders:
            made.rejected.update(decoder.trap.rejected())
    return made


def _one(site, chance, point):
    """Stop one decoder at *point*, let its sessions move, and let it go on."""
    decoder = chance.choice(site.fleet.decoders)
    decoder.trap.arm(point)
    # An idle decoder never comes by: take another one then.
    whose = None
    ends_s = time.monotonic() + SPRING_S
    while whose is None and time.monotonic() < ends_s:
        whose = decoder.trap.sprung()
        time.sleep(0.005)
    if whose is None and decoder.trap.disarm(point):
        raise TooLong(f"no step came by {point} within {SPRING_S} s")
    eventually(decoder.is_stopped, 5, what="the decoder stands still")
    pod = site.pod_of(decoder)
    try:
        _move(site, pod, point, whose)
    finally:
        os.kill(decoder.worker, signal.SIGCONT)
    site.fleet.wait_ready(decoder)
    eventually(lambda: site.pod_of(decoder), READY_S, what="the lease is back")


def _move(site, pod, point, whose):
    """Let the lease be over, as it is 1.5 s later, and wait for another owner."""
    if pod:
        site.client.delete(keys.pod(pod))
    if point == "relay":
        mine = (pod or "").encode()
        leases = [lease for lease in _leases(site) if site.client.get(lease) == mine]
        if leases:
            site.client.delete(*leases)
            eventually(
                lambda: all(map(site.client.get, leases)), MOVE_S, what="the leases are taken"
            )
        return
    eventually(lambda: _has_moved(site, whose, pod), MOVE_S, what=f"{whose} is adopted")


def _leases(site):
    return site.client.keys("outbox:*:lease")


def _has_moved(site, whose, pod):
    owner = site.owner(whose)
    closed = not site.client.zscore(keys.SESSIONS, whose)
    return owner != pod or closed
