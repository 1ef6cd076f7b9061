"""Bad links: between callers and decoders, between decoders and Redis, and a lossy failover."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

import redis

from infra.launcher import redis_server
from tests.chaos.crowd import OK
from tests.chaos.faults import played
from tests.chaos.kills import BRIEF
from tests.chaos.proxy import Proxy
from tests.chaos.rig import rig, start_redis
from tests.support.waiting import eventually

#: The replica misses so much of what the primary acknowledged.
STALE_S = 0.7


def links(chance, rounds):
    """Slow, reset, cut and deafen every link between callers and decoders, *rounds* times."""
    with ExitStack() as stack:
        site = stack.enter_context(rig(3))
        ports = [int(url.rpartition(":")[2]) for url in site.fleet.urls]
        proxies = [stack.enter_context(Proxy(port)) for port in ports]

        def disturb(crowd):
            crowd.reach([f"http://127.0.0.1:{proxy.port}" for proxy in proxies])
            for _ in range(rounds):
                for fault in (_slow, _resets, _down, _deaf):
                    fault(chance, proxies)

        return played(site, chance, disturb, speed=2.0, read_s=1.0)


def _slow(_, proxies):
    for proxy in proxies:
        proxy.latency_s = 0.1
    time.sleep(1)
    for proxy in proxies:
        proxy.latency_s = 0.0


def _resets(chance, proxies):
    for _ in range(10):
        chance.choice(proxies).reset()
        time.sleep(0.1)


def _down(_, proxies):
    for proxy in proxies:
        proxy.is_down = True
        proxy.reset()
    time.sleep(1)
    for proxy in proxies:
        proxy.is_down = False


def _deaf(chance, proxies):
    """Lose the replies of one decoder, whose work is done and committed."""
    proxy = chance.choice(proxies)
    proxy.is_deaf = True
    time.sleep(1.5)
    proxy.reset()
    proxy.is_deaf = False


@contextmanager
def _far_redis():
    """Start three decoders that reach their Redis by a proxy."""
    with rig(0) as site, Proxy(site.port) as proxy:
        site.fleet.redis_url = f"redis://127.0.0.1:{proxy.port}/0"
        site.fleet.start(3)
        yield site, proxy


def redis_slow(chance, latency_s, for_s):
    """Let every answer of Redis come *latency_s* later each way; see `played`."""
    with _far_redis() as (site, proxy):
        proxy.latency_s = latency_s
        return played(site, chance, lambda _: time.sleep(for_s), calls=5, speed=1.0, scripts=BRIEF)


def redis_deaf(chance, for_s):
    """Let Redis do what it is told, but nobody hear its answers, for *for_s*; see `played`."""
    with _far_redis() as (site, proxy):

        def deafen(_):
            proxy.is_deaf = True
            time.sleep(for_s)
            proxy.reset()
            proxy.is_deaf = False
            time.sleep(2)

        return played(site, chance, deafen, calls=5, speed=1.0, scripts=BRIEF)


def stale_replica(chance, rounds):
    """Promote a replica that misses the primary's last writes, *rounds* times, one rig each."""
    verdicts = [_promote(chance) for _ in range(rounds)]
    return sum(verdicts[1:], verdicts[0])


def demoted(chance):
    """Let primary and replica change their parts while everybody stays connected.

    Returns:
        The verdict, and how long after the new primary was there each channel was taken again (s).
    """
    with ExitStack() as stack:
        site, other, proxy, port = _followed(stack)
        marks = []

        def demote(_):
            # Nothing is forgotten: it waits until the replica has everything.
            site.client.execute_command("FAILOVER")
            eventually(
                lambda: other.info("replication")["role"] == "master", 20, what="it is promoted"
            )
            proxy.target = port
            site.use(other)
            marks.append(time.monotonic())
            time.sleep(5)

        verdict, crowd = played(site, chance, demote, speed=1.0, scripts=BRIEF)
        return verdict, _back_s(crowd, marks[0])


def _back_s(crowd, since_s):
    """Return when each channel of a call that went on was taken first after *since_s*."""
    taken, going = {}, set()
    for answer in list(crowd.ear.answers):
        if answer.sent_s < since_s:
            going.add(answer.key)
        elif answer.status == OK:
            taken.setdefault(answer.key, answer.answered_s - since_s)
    return [took_s for key, took_s in taken.items() if key in going]


def _followed(stack):
    """Start three decoders that reach their Redis by a proxy, and a replica of it."""
    site = stack.enter_context(rig(0))
    folder = site.folder / "replica"
    folder.mkdir()
    port = redis_server.free_port()
    replica = start_redis(port, folder)
    stack.callback(replica.wait)
    stack.callback(replica.kill)
    other = stack.enter_context(redis.Redis(port=port))
    other.execute_command("REPLICAOF", "127.0.0.1", site.port)
    proxy = stack.enter_context(Proxy(site.port))
    site.fleet.redis_url = f"redis://127.0.0.1:{proxy.port}/0"
    site.fleet.start(3)
    eventually(
        lambda: other.info("replication")["master_link_status"] == "up", 20, what="it follows"
    )
    return site, other, proxy, port


def _promote(chance):
    with ExitStack() as stack:
        site, other, proxy, port = _followed(stack)

        def promote(_):
            # No call may end meanwhile: nobody would be left to send again what was forgotten.
            time.sleep(chance.uniform(0, 1))
            other.execute_command("REPLICAOF", "NO", "ONE")
            time.sleep(STALE_S)
            site.stop_redis()
            proxy.target = port
            proxy.reset()
            site.use(other)

        verdict, crowd = played(site, chance, promote, speed=3.0)
        # It rewound, else nothing was shown.
        rewound = any(
            line.sender(channel).counts.rewinds
            for line in crowd.lines.values()
            for channel in line.channels
        )
        assert rewound, "the replica had everything: no call was rewound"
        return verdict
