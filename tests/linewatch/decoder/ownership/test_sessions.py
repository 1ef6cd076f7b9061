"""Sessions under loss of memory, death of their process and faults of the store."""

import random

import pytest

from linewatch.calls import Channel, ChannelKey
from linewatch.decoder.store.answers import Owner
from linewatch.decoder.store.store import Store
from linewatch.errors import SessionMoved, StoreUnavailable
from tests.linewatch.decoder.pods import (
    AGENT,
    CHANNELS,
    CUSTOMER,
    STEPS,
    Caller,
    Killed,
    Pod,
    conversation,
    first_occurrences,
    outbox,
    run_together,
    steps_of,
    told,
    undisturbed,
)


class DyingStore(Store):
    """Ends its process once, at *point*: before or after a method took effect."""

    point = ("", "")

    def _dies(self, method, when):
        if (method, when) == self.point:
            self.point = ("", "")
            raise Killed

    def commit(self, key, epoch, step, **options):
        """See `Store`."""
        self._dies("commit", "before")
        receipt = super().commit(key, epoch, step, **options)
        self._dies("commit", "after")
        return receipt

    def pass_edge(self, key, epoch, edge, end_reason=""):
        """See `Store`."""
        self._dies("edge", "before")
        passed = super().pass_edge(key, epoch, edge, end_reason)
        self._dies("edge", "after")
        return passed


class FaultyStore(Store):
    """Fails one call in twenty, before or after it took effect, as *chance* says."""

    chance = random.Random(0)
    failures = 0
    FAULTY = ("claim", "commit", "pass_edge", "prove", "release", "finals", "close")

    def __getattribute__(self, name):
        method = super().__getattribute__(name)
        if name not in FaultyStore.FAULTY:
            return method
        return lambda *args, **named: self._tried(method, *args, **named)

    def _tried(self, method, *args, **named):
        fate = self.chance.random()
        if fate < 0.025:
            self._fail()
        answer = method(*args, **named)
        if fate > 0.975:
            self._fail()
        return answer

    def _fail(self):
        FaultyStore.failures += 1
        raise StoreUnavailable("injected")


class TestAmnesia:
    """Loss of memory."""

    @pytest.mark.parametrize("channel", CHANNELS)
    @pytest.mark.parametrize(("seed", "chunk_ms"), [(1, 250), (7, 700), (23, 120)])
    def test_memory_changes_nothing(self, redis_url, channel, seed, chunk_ms):
        """A session forgotten before every step puts the same bytes into the outbox."""
        key = ChannelKey.of("default", "c1", channel)
        steps = steps_of(conversation(seed), chunk_ms)
        wanted = undisturbed(redis_url, (key, steps))
        pod = Pod(redis_url)

        def take(key, step, after):
            pod.forget(key)
            return pod.take(key, step, after)

        caller = Caller(key, steps, take).run()
        assert outbox(redis_url) == wanted
        assert len(caller.finals) == len(told(redis_url, "utterance")) > 1


class TestDeath:
    """Loss of the process."""

    @pytest.mark.parametrize("channel", CHANNELS)
    @pytest.mark.parametrize(
        "point",
        [
            ("", ""),
            ("commit", "before"),
            ("commit", "after"),
            ("edge", "before"),
            ("edge", "after"),
        ],
    )
    def test_death_at_every_chunk(self, redis_url, channel, point):
        """A decoder that dies at every chunk, wherever in it, leaves the outbox byte-equal."""
        key = ChannelKey.of("default", "c1", channel)
        wanted = undisturbed(redis_url, (key, STEPS))
        pods = [Pod(redis_url, "pod-0", store=DyingStore.from_url)]
        deaths = []

        def die():
            deaths.append(len(pods))
            pods[-1].killed()
            pods.append(Pod(redis_url, f"pod-{len(pods)}", store=DyingStore.from_url))

        def take(key, step, after):
            pods[-1].store.point = point if take.due else ("", "")
            take.due = True
            try:
                reply = pods[-1].take(key, step, after)
            except Killed:
                take.due = False  # The same step again must come through.
                die()
                raise SessionMoved("the phone lost its connection") from None
            if point == ("", ""):
                die()
            return reply

        take.due = True
        caller = Caller(key, STEPS, take).run()
        assert outbox(redis_url) == wanted
        assert len(caller.finals) == len(told(redis_url, "utterance")) > 1
        assert len(deaths) >= (4 if point[0] == "edge" else len(STEPS))

    def test_released_at_an_edge(self, redis_url):
        """Sessions given up at their edges and adopted elsewhere leave the outbox byte-equal."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pods = [Pod(redis_url, name) for name in ("pod-a", "pod-b")]
        moves = []

        def take(key, step, after):
            for pod in pods:
                pod.sessions.ask_for_release(9)
            here = pods[len(moves) % 2]
            reply = here.take(key, step, after)
            if isinstance(reply, Owner):
                moves.append(reply)
                raise SessionMoved("forwarded")
            if here.sessions.has_given_up(key):
                moves.append(step)
                assert key not in here.sessions
            return reply

        Caller(AGENT, STEPS, take).run()
        assert outbox(redis_url) == wanted
        assert len(moves) >= 3
        assert pods[0].metrics.adoptions._value.get() == 0

    def test_two_channels_two_pods(self, redis_url):
        """The channels of one call may live on two pods: the call is started and ended once."""
        customer = steps_of(conversation(9))
        wanted = undisturbed(redis_url, (AGENT, STEPS), (CUSTOMER, customer))
        callers = [
            Caller(AGENT, STEPS, Pod(redis_url, "pod-a").take),
            Caller(CUSTOMER, customer, Pod(redis_url, "pod-b").take),
        ]
        run_together(callers)
        assert sorted(outbox(redis_url)) == sorted(wanted)
        assert len(told(redis_url, "started")) == len(told(redis_url, "ended")) == 1


class TestFaults:
    """A store that fails and lies."""

    @pytest.mark.parametrize("seed", [3, 4, 5])
    @pytest.mark.parametrize("channel", [Channel.AGENT, Channel.MIXED])
    def test_store_fails_and_lies(self, redis_url, seed, channel):
        """Store calls that fail before or after their effect lose nothing and alter no byte."""
        key = ChannelKey.of("default", "c1", channel)
        steps = steps_of(conversation(seed), 100)
        wanted = undisturbed(redis_url, (key, steps))
        FaultyStore.chance, FaultyStore.failures = random.Random(seed), 0
        pod = Pod(redis_url, store=FaultyStore.from_url)
        Caller(key, steps, pod.take).run()
        while not told(redis_url, "ended"):
            try:
                pod.store.close("default", "c1", 0)
            except StoreUnavailable:
                continue
        assert FaultyStore.failures >= 3
        assert first_occurrences(outbox(redis_url)) == wanted

    def test_fault_forgets_memory(self, pod):
        """After an unknown outcome the copy in memory is dropped: the store is the truth."""
        pod.take(AGENT, STEPS[0])
        known = pod.store._scripts.known
        known["commit"] = known["own"]  # answers nonsense
        with pytest.raises(TypeError):
            pod.take(AGENT, STEPS[1])
        assert AGENT not in pod.sessions
        assert len(pod.sessions) == 0
