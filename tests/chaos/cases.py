"""What `make chaos` runs: one case for each promise, each a row of the table."""

from __future__ import annotations

import os

from tests.chaos import (
    dashboard,
    digests,
    faults,
    full,
    functions,
    groups,
    kills,
    links,
    outage,
    overload,
    real,
    receiver,
    rollout,
    soak,
    trickle,
    zombies,
)
from tests.chaos.crowd import UNAVAILABLE
from tests.chaos.points import POINTS
from tests.chaos.row import Row, quantile

#: The aim of p95, with ten calls on the dead decoder.
RECOVERED_S = 1.0
LEASE_S = 1.5
#: The aim of p95, from when the name leads to the new primary.
FOUND_S = 2.0
AIMED_REFUSALS = 3
#: With every store command drawing its fate, five in a row may be chance.
MOST_REFUSALS = 5
MOST_REPEATS = 0.001
#: Senders are told so soon that the store is away.
TOLD_S = 1.0


def calm(chance):
    """The oracle is what an undisturbed run publishes."""
    verdict, _ = faults.calm(chance, 2)
    told = f"{verdict.events} events"
    return Row("calm", 0, "nothing is disturbed: the fold is what is published", 1, verdict, told)


def worker_kills(chance, count=30):
    """SIGKILL of the process that holds the sessions; its master starts another."""
    verdict, seconds = kills.killed(chance, count)
    promise = "decoder's worker SIGKILLed at any moment"
    return Row("worker-kills", 1, promise, count, verdict, recoveries=seconds, aim_s=RECOVERED_S)


def whole_kills(chance, count=8):
    """SIGKILL of the whole decoder, as when its pod is gone."""
    verdict, seconds = kills.killed(chance, count, whole=True)
    promise = "whole decoder SIGKILLed at any moment"
    return Row("whole-kills", 1, promise, count, verdict, recoveries=seconds, aim_s=RECOVERED_S)


def stopped(chance, each=8):
    """Zombies at every point: nothing of theirs counts, and they were turned away."""
    made = zombies.zombies(chance, each)
    fenced = all(made.rejected[kind] for kind in ("commit", "edge", "relay"))
    return Row(
        "zombies",
        2,
        f"zombie fenced (SIGSTOP at {len(POINTS)} points)",
        made.stopped.total(),
        made.verdict,
        "writes turned away",
        dict(made.rejected),
        passed=fenced,
    )


def unfenced(chance, each=2):
    """The negative control: the same zombies, but scripts without a fence."""
    made = zombies.zombies(chance, each, unfenced=True)
    return Row(
        "unfenced",
        2,
        "control: the same without fence must lose or double",
        made.stopped.total(),
        made.verdict,
        "the shipped scripts, their fences cut out",
        control=True,
    )


def two_digests(chance, each=1):
    """Old and new owner with different digests."""
    verdict = digests.digests(chance, each)
    promise = "no word of the zombie's digest after the adoption"
    return Row("digests", 2, promise, each * len(digests.POINTS), verdict)


def store_faults(chance, chunks=2500):
    """Store commands that fail, time out, or take effect and time out: 1 % each."""
    verdict, taken, longest, expected = faults.store_faults(chance, chunks)
    return Row(
        "store-faults",
        4,
        "store command fails, times out, or takes effect and times out (1 % each)",
        taken,
        verdict,
        f"longest run of 5xx on a channel {longest}",
        passed=longest <= MOST_REFUSALS,
        open=""
        if longest <= AIMED_REFUSALS
        else f"{longest} refusals in a row, aim {AIMED_REFUSALS}; if each step draws its own fate,"
        f" {expected:.1f} such runs were to be expected",
    )


def redis_killed(chance, times=1, down_s=5.0):
    """Redis killed and back."""
    verdict, crowd = faults.redis_killed(chance, times, down_s)
    promise = f"Redis killed, back after {down_s:.0f} s"
    return Row("redis-killed", 5, promise, times, verdict, **_refused(crowd))


def _refused(crowd):
    """Say how soon senders were told that the store is away, which they must be."""
    took_s = [a.answered_s - a.sent_s for a in list(crowd.ear.answers) if a.status == UNAVAILABLE]
    p95_s = quantile(took_s, 0.95) or 0.0
    return {
        "note": f"503 {len(took_s)} times, within p95 {p95_s:.2f} s",
        "passed": bool(took_s),
        "open": "503 took longer than 1 s" if p95_s > TOLD_S else "",
    }


def redis_deaf(chance, for_s=5):
    """A Redis that takes everything and answers nothing."""
    verdict, crowd = links.redis_deaf(chance, for_s)
    promise = f"Redis' answers lost for {for_s} s"
    return Row("redis-deaf", 6, promise, 1, verdict, **_refused(crowd))


def redis_slow(chance, for_s=4):
    """Redis 50 ms away."""
    verdict, crowd = links.redis_slow(chance, 0.025, for_s)
    p99 = quantile(crowd.replies_s(), 0.99)
    return Row("redis-slow", 6, "Redis 50 ms away", 1, verdict, f"reply p99 {p99 * 1000:.0f} ms")


def stale_replica(chance, times=1):
    """A replica promoted that missed what the primary acknowledged."""
    verdict = links.stale_replica(chance, times)
    promise = f"stale replica promoted ({links.STALE_S} s of writes lost)"
    return Row("stale-replica", 7, promise, times, verdict, f"equal repeats {verdict.repeats}")


def demoted(chance):
    """A primary that becomes a replica, and keeps its clients."""
    verdict, seconds = links.demoted(chance)
    promise = "primary demoted, its clients stay connected to it"
    return Row(
        "demoted", 7, promise, 1, verdict, recoveries=seconds, aim_s=FOUND_S, passed=bool(seconds)
    )


def relay_kills(chance, times=8):
    """The relay killed between the log's acknowledgement and the deletion."""
    verdict, _ = faults.relays_killed(chance, times)
    told = f"equal repeats {verdict.repeats}"
    promise = "relay killed between send and acknowledgement"
    return Row("relay-kills", 9, promise, times, verdict, told, passed=verdict.repeats > 0)


def terminated(chance, times=2):
    """SIGTERM drain."""
    verdict, seconds = kills.terminated(chance, times)
    return Row(
        "terminated",
        14,
        "SIGTERM amid calls",
        times,
        verdict,
        recoveries=seconds,
        aim_s=RECOVERED_S,
    )


def skewed(chance):
    """Clocks apart."""
    verdict, _ = faults.skewed(chance, 1)
    return Row("skewed", 17, "decoders' clocks 10 minutes apart, one killed", 1, verdict)


def slow_owner(chance):
    """No adoption storm."""
    verdict, adopted = faults.slow_owner(chance, 4)
    told = f"{adopted:.0f} adoptions"
    promise = "an owner too slow is not robbed"
    return Row("slow-owner", 25, promise, 1, verdict, told, passed=adopted == 0)


def bad_links(chance, rounds=1):
    """Links slowed, reset, cut, deaf."""
    verdict, _ = links.links(chance, rounds)
    promise = "links slowed, reset, cut, replies lost after the commit"
    return Row("links", 10, promise, 4 * rounds, verdict)


def recovery(chance, calls=10, times=1):
    """How soon calls are back that were on a decoder killed as a whole."""
    made = kills.recovered(chance, calls, times)
    return Row(
        f"recovery-{calls}",
        1,
        f"calls back after a kill: about {calls} on the dead decoder, 1x",
        times,
        made.verdict,
        f"{made.channels} channels, p50 {quantile(made.seconds, 0.5):.2f} s,"
        f" one replay {made.replay_ms:.1f} ms",
        recoveries=made.seconds,
        aim_s=RECOVERED_S,
    )


def pause(chance, calls=10, times=1):
    """How soon calls are back that were on a decoder that stands still."""
    made = kills.recovered(chance, calls, times, stopped=True)
    return Row(
        f"pause-{calls}",
        2,
        f"calls back after a SIGSTOP (lease {LEASE_S} s): about {calls} on the decoder, 1x",
        times,
        made.verdict,
        f"{made.channels} channels, p50 {quantile(made.seconds, 0.5):.2f} s",
        recoveries=made.seconds,
        aim_s=LEASE_S + RECOVERED_S,
    )


def soaked(chance):
    """An hour of thirty calls with churn, or ``SOAK_S`` seconds."""
    for_s = float(os.environ.get("SOAK_S", "3600"))
    made = soak.soaked(chance, for_s)
    return Row(
        "soak",
        19,
        f"no leak: 30 calls with churn, {for_s / 60:.0f} min",
        1,
        made.verdict,
        f"RSS slope {made.slope_mib_h:+.2f} MiB/h after warm-up"
        f" (MiB in ten parts: {_series(made.rss_mib)}), descriptors {made.descriptors:+d}"
        f" (while it ran {_series(made.opened)}), keys left {made.keys}",
        passed=made.slope_mib_h <= soak.MOST_MIB_H
        and made.descriptors <= soak.MOST_LEFT
        and made.grown <= soak.MOST_GROWN
        and not made.keys,
    )


def _series(parts):
    return " ".join(f"{part:.0f}" for part in parts)


def _five(chance):
    return recovery(chance, 5)


def _twenty(chance):
    return recovery(chance, 20)


SHORT = {
    "calm": calm,
    "zombies": stopped,
    "unfenced": unfenced,
    "digests": two_digests,
    "store-faults": store_faults,
    "worker-kills": worker_kills,
    "whole-kills": whole_kills,
    "recovery-5": _five,
    "recovery-10": recovery,
    "recovery-20": _twenty,
    "pause-10": pause,
    "redis-killed": redis_killed,
    "redis-slow": redis_slow,
    "redis-deaf": redis_deaf,
    "stale-replica": stale_replica,
    "demoted": demoted,
    "relay-kills": relay_kills,
    "terminated": terminated,
    "rollout": rollout.rollout,
    "skewed": skewed,
    "dashboard-kills": dashboard.killed,
    "slow-owner": slow_owner,
    "links": bad_links,
    "kafka-down": outage.kafka_down,
    "redis-full": full.redis_full,
    "function-kills": functions.killed,
    "group-away": groups.away,
    "letters-refused": groups.letters_refused,
    "receiver-refusing": receiver.refusing,
    "receiver-hanging": receiver.hanging,
    "receiver-dying": receiver.dying,
    "overload": overload.overload,
    "trickle": trickle.trickled,
}

#: Whose figures another case beside them would spoil. The others run in two lanes, side by side.
ALONE = (
    "worker-kills",
    "recovery-10",
    "recovery-20",
    "pause-10",
    "overload",
    "trickle",
)


def fifty(chance, calls=50):
    """A decoder killed every ten seconds under *calls* calls, for five minutes or ``FIFTY_S``."""
    for_s = float(os.environ.get("FIFTY_S", "300"))
    made = kills.harried(chance, calls, for_s)
    repeats = made.verdict.repeats / made.verdict.events
    return Row(
        "fifty",
        22,
        f"{calls} calls at 1x on the fake recognizer, a decoder killed every 10 s",
        made.kills,
        made.verdict,
        f"{made.verdict.events} events, {repeats:.2%} repeated on the wire;"
        f" chunk replies p95 {1000 * made.p95_s:.0f} ms",
        recoveries=made.seconds,
        aim_s=RECOVERED_S,
        open=f"{repeats:.2%} repeated, aim {MOST_REPEATS:.1%}" if repeats > MOST_REPEATS else "",
    )


def _some_kills(chance):
    return worker_kills(chance, 50)


def _some_zombies(chance):
    return stopped(chance, 10)


#: part -> the case of one slice, and how many runs make the whole.
LONG = {
    "kills": (_some_kills, 1000),
    "zombies": (_some_zombies, 1000),
    "soak": (soaked, 1),
    "real": (real.real, 1),
    "fifty": (fifty, 1),
}
