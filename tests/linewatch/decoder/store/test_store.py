"""Pods and idle channels on a real Redis, and what every method says of a Redis that is away."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from linewatch import keys
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store import store as module
from linewatch.decoder.store.answers import Pod
from linewatch.decoder.store.store import Store
from linewatch.errors import StoreUnavailable
from tests.linewatch.decoder.pods import AGENT, NOW_MS, START, chunk
from tests.linewatch.decoder.store.stored import client_bytes, edge, ended, filled, opened
from tests.support.waiting import eventually


class TestIdle:
    """Channels that wait."""

    def test_idle_by_last_step(self, store, client):
        """A channel is idle when its last step lies back, by Redis' clock."""
        epoch = filled(store, 1)
        assert store.idle(5) == []
        client.zincrby(keys.SESSIONS, -6000, keys.member(AGENT))
        assert store.idle(5) == [AGENT]
        store.commit(AGENT, epoch, chunk(1, 2000))
        assert store.idle(5) == []

    def test_ended_waits_no_more(self, store):
        """A channel that ended is not idle: its call is."""
        ended(store, AGENT)
        assert store.idle(-5) == []
        assert store.quiet(-5) == [("default", "c1")]


class TestPods:
    """Leases and load."""

    def test_lease_expires(self, redis_url, client):
        """A lease ends by itself after 1.5 s."""
        Store.from_url(redis_url, "pod-x").renew({"address": "http://x"})
        assert 0 < client.pttl(keys.pod("pod-x")) <= 1500

    def test_living_are_listed(self, store, other):
        """The living pods are listed with their load, the retired ones not."""
        assert store.pods() == [
            Pod("pod-a", "http://pod-a", 3, 60),
            Pod("pod-b", "http://pod-b", 3, 60),
        ]
        other.retire()
        assert [pod.pod for pod in store.pods()] == ["pod-a"]

    def test_dead_are_forgotten(self, store, client):
        """A pod whose lease ended is taken out of the set."""
        client.sadd(keys.PODS, "pod-dead")
        assert [pod.pod for pod in store.pods()] == ["pod-a"]
        assert client.smembers(keys.PODS) == {"pod-a"}

    def test_partials_come_and_go(self, store, client):
        """A partial is shown for ten seconds, an empty one is removed."""
        name = keys.partial("default", "c1", "agent")
        store.show_partials({AGENT: "good morn"})
        assert client.get(name) == "good morn"
        assert 0 < client.pttl(name) <= 10_000
        assert client.smembers(keys.partials("default", "c1")) == {"agent"}
        assert client.pttl(keys.partials("default", "c1")) > 9000
        store.show_partials({AGENT: ""})
        assert not client.exists(name)

    def test_pressure_counts_outbox(self, store):
        """The pressure counts the records that wait; without a memory limit there is none."""
        opened(store)
        pressure = store.pressure()
        assert (pressure.outbox, pressure.memory) == (1, 0.0)

    def test_idle_connections_are_dropped(self, store, client):
        """Connections nobody uses are closed when told, and opened anew when they are needed."""
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: store.pressure(), range(200)))
        before = len(client.client_list())
        store.drop_idle()
        eventually(lambda: len(client.client_list()) < before)
        assert store.pressure().outbox == 0

    def test_pressure_tells_memory(self, store, client):
        """With a memory limit the pressure is the part of it that is used."""
        client.config_set("maxmemory", 500_000_000)
        try:
            assert 0 < store.pressure().memory < 1
        finally:
            client.config_set("maxmemory", 0)


class TestUndecodable:
    """Audio that killed its decoder."""

    def test_last_pieces_are_kept(self, store, client, redis_url):
        """The last pieces that killed a decoder are kept, for a day."""
        for number in range(3):
            store.keep_undecodable(AGENT, [chunk(number, number * 2000)], 2)
        name = keys.undecodable("default")
        kept = [packed_steps.unpack(each).seq for each in client_bytes(redis_url, name)]
        assert kept == [2, 1]
        assert client.ttl(name) > 86_000


METHODS = {
    "claim": lambda store: store.claim(AGENT, START),
    "commit": lambda store: store.commit(AGENT, 1, chunk()),
    "pass_edge": lambda store: store.pass_edge(AGENT, 1, edge()),
    "prove": lambda store: store.prove(AGENT, 1),
    "release": lambda store: store.release(AGENT, 1),
    "finals": lambda store: store.finals(AGENT, -1),
    "peek": lambda store: store.peek(AGENT),
    "is_owned": lambda store: store.is_owned(AGENT),
    "idle": lambda store: store.idle(1),
    "tick": lambda store: store.tick(),
    "quiet": lambda store: store.quiet(1),
    "forget_idle": lambda store: store.forget_idle(AGENT),
    "is_known": lambda store: store.is_known("default", "c1"),
    "end_unheard": lambda store: store.end_unheard(AGENT),
    "abandon": lambda store: store.abandon("default", "c1", NOW_MS, quiet_s=1, paused_s=1),
    "announce": lambda store: store.announce(START, []),
    "close": lambda store: store.close("default", "c1", NOW_MS),
    "channels": lambda store: store.channels("default", "c1"),
    "alias": lambda store: store.alias("default", "a", "b", 1),
    "renew": lambda store: store.renew({"address": "x"}),
    "extend": lambda store: store.extend(),
    "retire": lambda store: store.retire(),
    "pods": lambda store: store.pods(),
    "pressure": lambda store: store.pressure(),
    "show_partials": lambda store: store.show_partials({AGENT: "x"}),
    "keep_undecodable": lambda store: store.keep_undecodable(AGENT, [chunk()], 1),
}


class TestAway:
    """A Redis that does not answer."""

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_says_so(self, method):
        """Whatever is asked while Redis is away: it is one error, with 503 and Retry-After."""
        store = Store.from_url("redis://127.0.0.1:1/0", "pod-a")
        with pytest.raises(StoreUnavailable) as caught:
            METHODS[method](store)
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)

    def test_table_is_whole(self):
        """No public method that asks Redis is forgotten above."""
        public = {name for name in dir(Store) if not name.startswith("_")}
        assert public - {"from_url", "pod", "drop_idle", "check"} == set(METHODS)


def test_scripts_lie_beside():
    """Every script that ships is one the store loads."""
    shipped = {path.stem for path in Path(module.__file__).with_name("lua").glob("*.lua")}
    assert shipped == set(Store.from_url("redis://127.0.0.1:1/0", "x")._scripts.known)


def test_lease_is_kept(redis_url):
    """A lease that stands is extended; one that ran out is not made by that."""
    store = Store.from_url(redis_url, "pod-x")
    assert not store.extend()
    store.renew({"address": "http://x"})
    assert store.extend()
    store.retire()
    assert not store.extend()
