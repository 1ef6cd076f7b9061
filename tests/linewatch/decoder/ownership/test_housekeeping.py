"""The pod's own threads: lease, load, partials, reaper."""

import threading
import time

import pytest
import redis

from linewatch import keys
from linewatch.calls import Gap, GapReason
from linewatch.decoder.ownership import housekeeping
from linewatch.decoder.ownership.housekeeping import GAUGE_EVERY, Facts, Housekeeping, Repeating
from linewatch.decoder.ownership.placing import SETTLED, Placing
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.decoder.store.answers import Pod as Seen
from linewatch.decoder.store.store import Store
from linewatch.errors import StoreUnavailable
from tests.linewatch.decoder import pods
from tests.linewatch.decoder.pods import AGENT, CUSTOMER, NOW_MS, STEPS, aged, chunk, told
from tests.support.waiting import eventually

NOWHERE = "redis://127.0.0.1:1/0"


def keeper_of(home, placing=None, tidy=()):
    """Return what keeps the lease and the house of *home*."""
    return Housekeeping(
        home.store,
        home.sessions,
        placing or Placing(home.name, 60, 1000),
        home.metrics,
        Watchdog(5.0),
        facts=Facts(f"http://{home.name}", "d1", 60, NOW_MS),
        now_ms=lambda: NOW_MS,
        idle_s=30,
        abandon_s=300,
        paused_s=3600,
        tidy=tidy,
    )


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(name="home")
def _home(redis_url):
    return pods.Pod(redis_url)


@pytest.fixture(name="keeper")
def _keeper(home):
    return keeper_of(home)


@pytest.fixture(name="silent")
def _silent(keeper, client, redis_url):
    """Let nothing come on a channel for so many seconds; return the calls that have ended."""

    def silent(key, for_s):
        aged(client, key, for_s)
        keeper.reap()
        return told(redis_url, "ended")

    return silent


class TestRepeating:
    """Work that is done again and again."""

    def test_runs_until_stopped(self):
        """It runs again and again, and no more once stopped."""
        runs = []
        work = Repeating("test", 0.005, lambda: runs.append(1))
        eventually(lambda: len(runs) > 2)
        work.stop()
        done = len(runs)
        time.sleep(0.03)
        assert len(runs) == done

    @pytest.mark.parametrize("fault", [StoreUnavailable("away"), KeyError("a bug"), ValueError()])
    def test_survives_any_fault(self, fault, caplog):
        """A fault ends no thread and is logged once until it is over, without what it says."""
        runs = []

        def work():
            runs.append(1)
            if len(runs) < 4:
                raise fault

        repeating = Repeating("lease", 0.005, work)
        eventually(lambda: len(runs) > 5)
        repeating.stop()
        assert [record.getMessage() for record in caplog.records] == [
            f"lease waits: {type(fault).__name__}"
        ]


class TestTidying:
    """What a rush leaves."""

    def test_is_done_again_and_again(self, home, monkeypatch):
        """A started pod tidies up again and again, each thing by itself, until it is stopped."""
        monkeypatch.setattr(housekeeping, "TIDY_S", 0.01)
        done = []

        def fail():
            done.append("fail")
            raise ValueError

        keeper = keeper_of(home, tidy=(fail, lambda: done.append("tidy")))
        keeper.start()
        eventually(lambda: done.count("tidy") > 2 and done.count("fail") > 2)
        keeper.stop()
        before = len(done)
        time.sleep(0.05)
        assert len(done) == before


class TestLease:
    """The lease and what it tells."""

    def test_shows_load(self, home, keeper, client):
        """The lease shows address, digest, capacity and load of the pod."""
        home.take(AGENT, STEPS[0])
        keeper.renew()
        shown = client.hgetall(keys.pod(home.name))
        assert {name: shown[name] for name in ("address", "digest", "sessions", "chunks")} == {
            "address": "http://pod-a",
            "digest": "d1",
            "sessions": "1",
            "chunks": "1",
        }
        assert 0 < client.pttl(keys.pod(home.name)) <= 1500

    def test_started_and_stopped(self, home, keeper, client):
        """A started pod keeps its lease, a stopped one drops it at once."""
        keeper.start()
        client.pexpire(keys.pod(home.name), 900)
        eventually(lambda: client.pttl(keys.pod(home.name)) > 1000)
        keeper.stop()
        assert not client.exists(keys.pod(home.name))
        assert not client.sismember(keys.PODS, home.name)

    def test_starts_without_store(self, home):
        """A pod starts and stops while the store is away."""
        home.store = Store.from_url(NOWHERE, home.name)
        keeper = keeper_of(home)
        keeper.start()
        assert len(keeper._threads) == 6
        keeper.stop()
        assert not any(thread._thread.is_alive() for thread in keeper._threads)


class TestRefresh:
    """A look at the others."""

    def test_excess_is_given_up(self, home, client):
        """What is above this pod's share is given up at the next edges."""
        client.hset(
            keys.pod("pod-b"), mapping={"address": "http://b", "sessions": 0, "capacity": 9}
        )
        client.sadd(keys.PODS, "pod-b")
        for number in range(4):
            home.take(pods.ChannelKey.of("default", f"c{number}", "agent"), chunk())
        placing = Placing(home.name, 60, 1000)
        keeper = keeper_of(home, placing)
        for _ in range(SETTLED + 1):
            keeper.refresh()
        assert sum(live.release for live in home.sessions._live.values()) == 2
        assert placing.other(4).pod == "pod-b"

    def test_eviction_is_told_once(self, client, keeper, caplog):
        """A Redis that would throw calls away when it is full is an error in the log, once."""
        keeper.refresh()
        assert "throws calls away" not in caplog.text
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            for _ in range(2 * GAUGE_EVERY):
                keeper.refresh()
        finally:
            client.config_set("maxmemory-policy", "noeviction")
        assert caplog.text.count("(maxmemory-policy allkeys-lru): set noeviction") == 1

    def test_outbox_is_counted(self, home, keeper):
        """The records that wait are counted."""
        home.take(AGENT, STEPS[0])
        keeper.refresh()
        assert home.metrics.outbox._value.get() == 1

    def test_alone_gives_nothing_up(self, home, keeper):
        """A pod that is alone keeps everything."""
        home.take(AGENT, STEPS[0])
        keeper.refresh()
        assert not home.sessions._live[AGENT].release
        assert home.store.pods() == [Seen("pod-a", "http://pod-a", 1, 60)]


def test_partials_are_shown(home, keeper, client):
    """The words being spoken are shown, and removed when the utterance is over."""
    name = keys.partial("default", "c1", "agent")
    for step in STEPS:
        spoken = home.take(AGENT, step).partial
        if spoken:
            break
    keeper.show_partials()
    assert client.get(name) == spoken
    home.park(AGENT)
    keeper.show_partials()
    assert not client.exists(name)
    keeper.show_partials()


class TestPark:
    """Channels on which nothing comes."""

    def test_silent_channel_is_parked(self, home, keeper, client, redis_url):
        """After 30 s without a step the words are told and the memory is freed; nothing ends."""
        for step in STEPS[:20]:
            home.take(AGENT, step)
        aged(client, AGENT, 31)
        keeper.reap()
        assert home.store.peek(AGENT).parked
        assert len(told(redis_url, "utterance")) > 1
        assert told(redis_url, "ended") == []
        assert client.zcard(keys.SESSIONS) == len(home.sessions) == 0

    def test_live_channel_stays(self, home, keeper, client):
        """A channel that got a step 29 s ago stays."""
        home.take(AGENT, STEPS[0])
        aged(client, AGENT, 29)
        keeper.reap()
        assert AGENT in home.sessions

    def test_dead_pods_channel(self, home, client, redis_url):
        """Another pod parks the channels of a pod that is gone."""
        for step in STEPS[:20]:
            home.take(AGENT, step)
        home.killed()
        aged(client, AGENT, 31)
        keeper_of(pods.Pod(redis_url, "pod-b")).reap()
        assert home.store.peek(AGENT).parked

    def test_living_pods_channel(self, home, client, redis_url):
        """What a living pod owns is its own to park."""
        home.take(AGENT, STEPS[0])
        aged(client, AGENT, 31)
        keeper_of(pods.Pod(redis_url, "pod-b")).reap()
        assert not home.store.peek(AGENT).parked

    def test_one_failure_stops_no_other(self, home, keeper, client, caplog):
        """A channel that cannot be parked now is left for later; the others are parked."""
        for key in (AGENT, CUSTOMER):
            home.take(key, STEPS[0])
            aged(client, key, 31)
        client.hset(keys.session(AGENT), "version", 99)
        home.forget(AGENT)
        with caplog.at_level("INFO"):
            keeper.reap()
        assert home.store.peek(CUSTOMER).parked
        assert "left for later" in caplog.text

    def test_lost_session_leaves_index(self, home, keeper, client):
        """A session that is no more is looked after no more."""
        home.take(AGENT, STEPS[0])
        aged(client, AGENT, 31)
        client.delete(keys.session(AGENT))
        home.forget(AGENT)
        keeper.reap()
        assert client.zcard(keys.SESSIONS) == 0


class TestAbandon:
    """Calls to which nobody came back."""

    def test_quiet_call_ends(self, home, silent):
        """A call of which nothing is heard for five minutes is given up."""
        home.take(AGENT, STEPS[0])
        assert silent(AGENT, 31) == []
        assert silent(AGENT, 260) == []
        assert [name[2] for name in silent(AGENT, 10)] == ["ended"]

    @pytest.mark.parametrize(("away_s", "ends"), [(31, 0), (3500, 0), (3601, 1)])
    def test_paused_channel_waits(self, home, silent, away_s, ends):
        """A call whose sender said that it paused stays for an hour."""
        home.take(AGENT, STEPS[0])
        home.take(AGENT, Gap(1, 2, 2000, "s1", GapReason.PAUSED))
        silent(AGENT, 31)
        assert len(silent(AGENT, away_s - 31)) == ends

    def test_paused_call_is_looked_at_again(self, home, keeper, client, redis_url):
        """A paused call is not looked at each second: only when its time is near."""
        home.take(AGENT, STEPS[0])
        home.take(AGENT, Gap(1, 2, 2000, "s1", GapReason.PAUSED))
        aged(client, AGENT, 400)
        keeper.reap()
        keeper.reap()
        assert home.store.quiet(300) == []
        assert client.zcard(keys.QUIET) == 1
        aged(client, AGENT, 3600)
        keeper.reap()
        assert len(told(redis_url, "ended")) == 1

    def test_one_channel_keeps_the_call(self, home, silent):
        """A call lives while one of its channels is heard; one that ended waits for it."""
        home.take(CUSTOMER, chunk())
        for step in STEPS:
            home.take(AGENT, step)
        assert silent(AGENT, 1000) == []
        assert silent(CUSTOMER, 31) == []
        assert len(silent(CUSTOMER, 300)) == 1

    def test_awaited_channel_never_came(self, home, keeper, client, redis_url):
        """A call waits for an announced channel no longer than for one that was heard."""
        home.store.announce(pods.START, [AGENT.channel, CUSTOMER.channel])
        for step in STEPS:
            home.take(AGENT, step)
        assert told(redis_url, "ended") == []
        aged(client, AGENT, 301)
        keeper.reap()
        assert len(told(redis_url, "ended")) == 1

    def test_announced_call_never_came(self, home, keeper, client, redis_url):
        """A call that was announced and never heard ends after an hour, with nothing in it."""
        home.store.announce(pods.START, [AGENT.channel, CUSTOMER.channel])
        for away_s, ended in ((3500, 0), (101, 1)):
            aged(client, AGENT, away_s)
            keeper.reap()
            keeper.reap()
            assert len(told(redis_url, "ended")) == ended
        assert client.zcard(keys.QUIET) == 0

    def test_refused_call_ends(self, home, keeper, client, redis_url):
        """A call that was refused ends five minutes after its last try."""
        home.store.announce(pods.START, [AGENT.channel, CUSTOMER.channel])
        aged(client, AGENT, 1000)
        home.store.claim(AGENT, rate_hz=8000)
        keeper.reap()
        assert told(redis_url, "ended") == []
        aged(client, AGENT, 301)
        keeper.reap()
        assert len(told(redis_url, "ended")) == 1

    def test_refused_channel_ends_no_other(self, home, silent):
        """A refused channel ends nothing while the call's other one is heard."""
        home.store.announce(pods.START, [AGENT.channel, CUSTOMER.channel])
        home.take(AGENT, STEPS[0])
        home.store.claim(CUSTOMER, rate_hz=8000)
        assert silent(CUSTOMER, 31) == []
        home.take(CUSTOMER, chunk())
        assert home.store.peek(CUSTOMER).next_seq == 1

    def test_two_reapers_end_once(self, home, client, redis_url):
        """Two pods that reap at the same time end a dead pod's call once."""
        for step in STEPS[:20]:
            home.take(AGENT, step)
        home.killed()
        aged(client, AGENT, 301)
        keepers = [keeper_of(pods.Pod(redis_url, name)) for name in ("pod-b", "pod-c")]
        threads = [threading.Thread(target=keeper.reap) for keeper in keepers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for keeper in keepers:
            keeper.reap()
        assert len(told(redis_url, "ended")) == 1
        ids = [name[1:] for name in told(redis_url, "utterance")]
        assert len(ids) == len(set(ids))


class TestClock:
    """The time by which silence is measured."""

    @pytest.mark.parametrize("step_s", [-3600, -60, 60, 3600])
    def test_set_clock_is_no_silence(self, home, keeper, client, step_s):
        """Somebody sets Redis' clock: nobody was silent for that."""
        home.take(AGENT, STEPS[0])
        keeper.reap()
        client.hincrby(keys.CLOCK, "seen", -1000 * step_s)
        for _ in range(3):
            keeper.reap()
        assert AGENT in home.sessions
        assert 0 <= home.store._clock_ms() - client.zscore(keys.SESSIONS, keys.member(AGENT)) < 9000

    def test_outage_is_no_silence(self, home, keeper, client):
        """While no decoder reached the store nobody could send: that time does not count."""
        home.take(AGENT, STEPS[0])
        keeper.reap()
        client.hincrby(keys.CLOCK, "seen", -1000 * 600)
        keeper.reap()
        assert AGENT in home.sessions

    def test_it_goes_on(self, home, client):
        """Each tick adds the time since the last one, whoever ticks."""
        home.store.tick()
        began = home.store._clock_ms()
        client.hincrby(keys.CLOCK, "seen", -1500)
        home.store.tick()
        assert 1500 <= home.store._clock_ms() - began < 2900

    def test_silence_across_a_set_clock(self, home, client, redis_url):
        """A silence is as long as it was, though Redis' clock was set meanwhile."""
        home.take(AGENT, STEPS[0])
        home.store.tick()
        home.park(AGENT)
        client.hincrby(keys.session(AGENT), "at_ms", -3_600_000)
        home.take(AGENT, STEPS[1])
        (gap,) = pods.data_of(redis_url, "gap")
        assert 59_000 < gap["end_ms"] - gap["start_ms"] < 62_000
