"""Sessions under loss of memory, death, faults of the store, repeats and restarts."""

import random
import threading
from dataclasses import replace

import pytest
import redis

from linewatch import keys
from linewatch.calls import Channel, ChannelKey, End, Gap, GapReason
from linewatch.decoder.store import packed_steps as packing
from linewatch.decoder.store.answers import Owner
from linewatch.decoder.store.store import Store
from linewatch.errors import (
    BadChunk,
    CallEnded,
    NotFound,
    OwnerBusy,
    PositionConflict,
    SequenceConflict,
    SequenceGap,
    SessionMoved,
    StoreUnavailable,
    StreamReplaced,
)
from tests.linewatch.decoder.pods import (
    AGENT,
    CHANNELS,
    CUSTOMER,
    START,
    Caller,
    Pod,
    chunk,
    conversation,
    first_occurrences,
    outbox,
    run_together,
    steps_of,
    told,
    unanswered,
    undisturbed,
)
from tests.support import fakes

STEPS = steps_of(conversation())
#: Chunks after which somebody speaks.
SPEAKING = 34


@pytest.fixture(name="pod")
def _pod(redis_url):
    return Pod(redis_url)


class Killed(BaseException):
    """The process ends here."""


class DyingStore(Store):
    """Ends its process once, at *point*: before or after a method took effect."""

    point = ("", "")

    def _dies(self, method, when):
        if (method, when) == self.point:
            self.point = ("", "")
            raise Killed

    def commit(self, key, epoch, step):
        """See `Store`."""
        self._dies("commit", "before")
        receipt = super().commit(key, epoch, step)
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


class TestRepeats:
    """Steps that come again."""

    def test_duplicate_brings_finals(self, pod):
        """A repeat is answered with number, position, partial and the finals since ``after``."""
        for step in STEPS[:30]:
            last = pod.take(AGENT, step)
        everything = pod.take(AGENT, STEPS[3], -1)
        assert (everything.next_seq, everything.next_position) == (30, 60_000)
        assert everything.partial == last.partial
        starts = [final["first_sample"] for final in everything.finals]
        assert len(starts) > 1
        for seen, start in enumerate(starts, 1):
            rest = pod.take(AGENT, STEPS[29], start).finals
            assert [final["first_sample"] for final in rest] == starts[seen:]

    def test_lost_replies_lose_nothing(self, redis_url):
        """When every other reply is lost, the repeats still bring every final once."""
        pod = Pod(redis_url)
        flip = [False]

        def take(key, step, after):
            reply = pod.take(key, step, after)
            flip[0] = not flip[0]
            if flip[0]:
                raise StoreUnavailable("the reply was lost")
            return reply

        caller = Caller(AGENT, STEPS, take).run()
        assert [f"{final['first_sample']}-final" for final in caller.finals] == [
            name[2] for name in told(redis_url, "utterance")
        ]

    def test_without_after_own_finals(self, pod):
        """Who does not say what it saw gets the finals of this very step."""
        found = [final for step in STEPS for final in pod.take(AGENT, step, None).finals]
        assert len(found) > 1
        assert pod.take(AGENT, STEPS[-1], None).finals == []

    def test_repeat_decodes_nothing(self, pod, redis_url):
        """Repeats of anything at any time make no event and no recognizer."""
        for step in STEPS[:20]:
            pod.take(AGENT, step)
        before, made = outbox(redis_url), pod.recognizers.made
        for step in STEPS[:20]:
            assert pod.take(AGENT, step).next_seq == 20
        assert outbox(redis_url) == before
        assert pod.recognizers.made == made


class TestRefusals:
    """Steps that are not taken."""

    def test_gap_names_what_is_due(self, pod):
        """A step too far is refused with number and position that are due, the session stays."""
        pod.take(AGENT, STEPS[0])
        with pytest.raises(SequenceGap) as caught:
            pod.take(AGENT, STEPS[3])
        assert caught.value.extra == {"next_seq": 1, "next_position": 2000}
        assert AGENT in pod.sessions

    def test_other_bytes_are_refused(self, pod):
        """Other bytes under an old number are refused, the session stays."""
        pod.take(AGENT, STEPS[0])
        with pytest.raises(SequenceConflict):
            pod.take(AGENT, replace(STEPS[0], audio=b"\0" * 2000))
        assert AGENT in pod.sessions

    def test_old_position_is_refused(self, pod):
        """A new sender with a position already heard is refused and replaces nobody."""
        for step in STEPS[:4]:
            pod.take(AGENT, step)
        with pytest.raises(PositionConflict) as caught:
            pod.take(AGENT, replace(STEPS[2], stream="s2"))
        assert caught.value.extra["next_position"] == 8000
        assert pod.take(AGENT, STEPS[4]).next_seq == 5

    def test_replaced_sender_stops(self, pod, redis_url):
        """A new sender with a later position makes a gap, and the old one is told to stop."""
        for step in STEPS[:4]:
            pod.take(AGENT, step)
        assert pod.take(AGENT, chunk(90, 12_000, stream="s2")).next_seq == 91
        with pytest.raises(StreamReplaced):
            pod.take(AGENT, STEPS[4])
        assert ("linewatch.call.gap.v1", AGENT.source, "8000-gap") in told(redis_url, "gap")
        assert AGENT in pod.sessions

    def test_rate_may_not_change(self, pod):
        """A chunk of another rate is refused before it is committed."""
        pod.take(AGENT, STEPS[0])
        with pytest.raises(BadChunk, match="8000 Hz"):
            pod.take(AGENT, chunk(1, 2000, rate_hz=16_000))
        assert pod.store.peek(AGENT).next_seq == 1

    @pytest.mark.parametrize("step", [Gap(0, 1, 0, "s1", GapReason.LOST), End(0, "s1")])
    def test_only_chunks_open(self, pod, step):
        """A gap or an end of a channel nobody knows is not found."""
        with pytest.raises(NotFound):
            pod.sessions.take(AGENT, step)

    def test_foreign_owner_is_named(self, pod, redis_url):
        """A session of a living pod is left there; its owner is returned."""
        pod.take(AGENT, STEPS[0])
        found = Pod(redis_url, "pod-b").take(AGENT, STEPS[1])
        assert found == Owner("pod-a", 1, "http://pod-a")

    def test_zombie_is_told(self, pod, redis_url):
        """A pod that lost a session without knowing answers that it moved, and drops its copy."""
        pod.take(AGENT, STEPS[0])
        pod.killed()
        Pod(redis_url, "pod-b").take(AGENT, STEPS[1])
        with pytest.raises(SessionMoved):
            pod.take(AGENT, STEPS[1])
        assert AGENT not in pod.sessions

    def test_zombie_drops_its_copies(self, pod, redis_url):
        """A pod whose calls went on elsewhere drops its copies unasked, and only these."""
        for key in (AGENT, CUSTOMER):
            pod.take(key, STEPS[0])
        pod.sessions.take_partials()
        pod.killed()
        Pod(redis_url, "pod-b").take(AGENT, STEPS[1])
        pod.sessions.drop_lost()
        assert AGENT not in pod.sessions
        assert CUSTOMER in pod.sessions
        assert pod.metrics.sessions._value.get() == 1
        # What the new owner shows of it is not taken away.
        assert pod.sessions.take_partials() == {}

    def test_gone_sessions_are_dropped(self, pod, redis_url):
        """What the store does not know any more is not kept in memory either."""
        pod.take(AGENT, STEPS[0])
        with redis.Redis.from_url(redis_url) as client:
            client.delete(keys.session(AGENT))
        pod.sessions.drop_lost()
        assert len(pod.sessions) == 0

    def test_busy_channel_waits(self, pod, monkeypatch):
        """A step whose predecessor is still being decoded is asked to come again."""
        monkeypatch.setattr("linewatch.decoder.ownership.sessions.LOCK_WAIT_S", 0.05)
        entered, leave = threading.Event(), threading.Event()

        def slow(*_):
            entered.set()
            leave.wait(5)
            return []

        pod.take(AGENT, STEPS[0])
        pod.decoding._decode = slow
        first = threading.Thread(target=pod.take, args=(AGENT, STEPS[1]))
        first.start()
        assert entered.wait(5)
        with pytest.raises(OwnerBusy):
            pod.take(AGENT, STEPS[1])
        leave.set()
        first.join()
        assert pod.take(AGENT, STEPS[1]).next_seq == 2


def copied(client, key):
    """Return the session's keys as they are now."""
    names = [make(key) for make in (keys.session, keys.tail, keys.taken, keys.finals)]
    return {name: client.dump(name) for name in names}


def put_back(client, copy):
    """Restore the session's keys: what a failed-over Redis that lost writes looks like."""
    for name, value in copy.items():
        client.delete(name)
        if value:
            client.restore(name, 0, value, replace=True)


class TestUnheard:
    """Chunks of which the store did not tell whether it took them."""

    @pytest.mark.parametrize("step", [STEPS[20], Gap(20, 21, 40_000, "s1", GapReason.LOST)])
    @pytest.mark.parametrize("taken", [True, False])
    def test_heard_when_sent_again(self, pod, redis_url, step, taken):
        """Sent again it is heard once, taken the first time or not, and nothing is replayed."""
        wanted = undisturbed(redis_url, (AGENT, [*STEPS[:20], step]))
        for each in STEPS[:20]:
            pod.take(AGENT, each)
        with unanswered(pod.store, taken=taken), pytest.raises(StoreUnavailable):
            pod.take(AGENT, step)
        pod.store.claim = None  # calling it would fail
        assert pod.take(AGENT, step).next_seq == packing.numbers(step)[2]
        assert pod.metrics.steps._value.get() == 21
        assert first_occurrences(outbox(redis_url)) == wanted

    @pytest.mark.parametrize("taken", [True, False])
    def test_silent_twice(self, pod, redis_url, taken):
        """A store that is silent twice changes nothing: the third try is heard."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pod.take(AGENT, STEPS[0])
        for _ in range(2):
            with unanswered(pod.store, taken=taken), pytest.raises(StoreUnavailable):
                pod.take(AGENT, STEPS[1])
        for step in STEPS[1:]:
            pod.take(AGENT, step)
        assert first_occurrences(outbox(redis_url)) == wanted

    @pytest.mark.parametrize("taken", [True, False])
    def test_old_one_is_not_heard_again(self, pod, redis_url, taken):
        """A store that is silent about a chunk heard before does not make it count again."""
        edge = replace(STEPS[SPEAKING], position=STEPS[SPEAKING].position + 8)
        wanted = undisturbed(redis_url, (AGENT, [*STEPS[:SPEAKING], edge]))
        for step in STEPS[:SPEAKING]:
            pod.take(AGENT, step)
        old = STEPS[SPEAKING - 1]
        with unanswered(pod.store, taken=taken), pytest.raises(StoreUnavailable):
            pod.take(AGENT, old)
        pod.take(AGENT, old)
        pod.take(AGENT, edge)
        pod.forget(AGENT)
        # An edge tells the store how many steps it needs no more: one too many would be lost.
        assert pod.store.claim(AGENT).tail == (edge,)
        assert first_occurrences(outbox(redis_url)) == wanted

    def test_another_step_replays(self, pod, redis_url):
        """A sender that restarted instead makes the session come from the store: it is whole."""
        again = replace(STEPS[34], seq=0, stream="s2")
        wanted = heard(redis_url, [*STEPS[:34], again])
        for step in STEPS[:33]:
            pod.take(AGENT, step)
        with unanswered(pod.store, taken=True), pytest.raises(StoreUnavailable):
            pod.take(AGENT, STEPS[33])
        assert pod.take(AGENT, again).next_seq == 1
        assert first_occurrences(outbox(redis_url)) == wanted

    def test_reaper_replays(self, pod, redis_url):
        """A sender that does not come back has said the chunk all the same."""
        for step in STEPS[: SPEAKING - 1]:
            pod.take(AGENT, step)
        with unanswered(pod.store, taken=True), pytest.raises(StoreUnavailable):
            pod.take(AGENT, STEPS[SPEAKING - 1])
        pod.abandon(AGENT)
        said = outbox(redis_url)
        assert said == heard(redis_url, STEPS[:SPEAKING], Pod.abandon)


def heard(redis_url, steps, then=lambda *_: None):
    """Return the outbox of one healthy pod alone that takes *steps*."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        pod = Pod(redis_url, "pod-undisturbed")
        for step in steps:
            pod.take(AGENT, step)
        then(pod, AGENT)
        wanted = outbox(redis_url)
        client.flushall()
    return wanted


class TestRewound:
    """A Redis that failed over and lost writes."""

    @pytest.fixture(name="client")
    def _client(self, redis_url):
        with redis.Redis.from_url(redis_url) as client:
            yield client

    @pytest.mark.parametrize("lost", [1, 5, 20])
    def test_sender_rewinds(self, redis_url, client, lost):
        """A Redis that lost writes makes the sender send them again: no byte differs."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pod = Pod(redis_url)
        caller = Caller(AGENT, STEPS, pod.take)
        copies = []
        while caller._at < 30:
            copies.append(copied(client, AGENT))
            caller.send()
        put_back(client, copies[-lost])
        caller.run()
        assert caller.rewinds == 1
        assert first_occurrences(outbox(redis_url)) == wanted

    def test_ahead_copy_is_dropped(self, redis_url, client):
        """A copy that heard more than the store holds is dropped, even if the step would fit."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pod = Pod(redis_url)
        for step in STEPS[:20]:
            pod.take(AGENT, step)
        old = copied(client, AGENT)
        for step in STEPS[20:32]:
            pod.take(AGENT, step)
        put_back(client, old)
        # Another pod told the sender where to go on, so it comes with the right number at once.
        caller = Caller(AGENT, STEPS, pod.take)
        caller._at = 20
        caller.run()
        assert caller.tries == 1
        assert first_occurrences(outbox(redis_url)) == wanted

    @pytest.mark.parametrize("seen", range(4, 14, 2))
    def test_stale_copy_spoils_no_tail(self, redis_url, client, seen):
        """A copy ahead of a rewound store cuts no step off the tail that is still needed."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pod = Pod(redis_url)
        for step in STEPS[:seen]:
            pod.take(AGENT, step)
        old, edges = copied(client, AGENT), pod.store.peek(AGENT).checkpoint.edges
        for step in STEPS[seen : seen + 2]:
            pod.take(AGENT, step)
        put_back(client, old)

        def take(key, step, after):
            if pod.store.peek(AGENT).checkpoint.edges > edges:
                pod.forget(key)
            return pod.take(key, step, after)

        caller = Caller(AGENT, STEPS, take)
        caller._at = seen
        caller.run()
        assert first_occurrences(outbox(redis_url)) == wanted

    def test_edge_on_rewound_store(self, redis_url, client):
        """A store rewound between a chunk and its edge takes no edge that does not follow."""
        wanted = undisturbed(redis_url, (AGENT, STEPS))
        pod = Pod(redis_url)
        old, pass_edge = [], pod.store.pass_edge

        def rewinding(key, epoch, edge, end_reason=""):
            if edge.checkpoint.edges == 3 and old:
                put_back(client, old.pop())
            return pass_edge(key, epoch, edge, end_reason)

        pod.store.pass_edge = rewinding
        caller = Caller(AGENT, STEPS, pod.take)
        caller.send()
        old.append(copied(client, AGENT))
        caller.run()
        assert not old
        assert caller.tries == 1
        assert first_occurrences(outbox(redis_url)) == wanted


class Cursed(fakes.HashRecognizer):
    """Ends its process on poison, as a SIGSEGV does, but only in this test's eyes."""

    def accept(self, samples):
        """See `Recognizer`."""
        if fakes.is_poison(samples):
            raise Killed
        return super().accept(samples)


def cursed():
    """Return recognizers that die of poison."""
    made = fakes.HashRecognizers()
    made.fresh = Cursed
    return made


class TestPoison:
    """Audio that kills its decoder."""

    @pytest.fixture(name="story")
    def _story(self, redis_url):
        return PoisonStory(redis_url)

    def test_third_adopter_skips(self, story, redis_url):
        """A tail that killed its owner and two adopters is skipped by the third and told as gap."""
        poisoned = story.poison(AGENT)
        assert story.deaths == 3
        gaps = [dict(row) for row in outbox(redis_url) if b"call.gap" in dict(row)[b"ce_type"]]
        assert [b'"reason": "undecodable"' in gap[b"value"] for gap in gaps] == [True]
        assert story.pod.metrics.undecodable._value.get() == 1
        assert poisoned.next_seq == 9

    def test_goes_on_after_poison(self, story, redis_url):
        """After the skip the channel goes on: what is said later is heard and told."""
        story.poison(AGENT)
        rest = fakes.chunks(conversation(), seq=9, position=18_400)
        for step in rest:
            story.take(AGENT, step, -1)
        assert len(told(redis_url, "utterance")) > 1

    def test_others_are_never_skipped(self, story, redis_url):
        """Other calls on the pods that die lose nothing: their outbox is byte-equal."""
        other = ChannelKey.of("default", "c1", "customer")
        bystander = Caller(other, STEPS, story.take)
        for _ in range(12):
            bystander.send()
        story.poison(AGENT, bystander)
        bystander.run()
        told_of = [
            row for row in outbox(redis_url) if other.source.encode() in dict(row)[b"ce_source"]
        ]
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        wanted = undisturbed(redis_url, (other, STEPS))
        assert told_of == [
            row for row in wanted if other.source.encode() in dict(row)[b"ce_source"]
        ]

    @pytest.mark.parametrize("kept", [0, 4])
    def test_audio_kept_if_allowed(self, redis_url, kept):
        """The audio that killed is kept only where the settings allow it."""
        PoisonStory(redis_url, kept).poison(AGENT)
        with redis.Redis.from_url(redis_url) as client:
            found = client.lrange(keys.undecodable("default"), 0, -1)
        assert len(found) == kept
        assert all(packing.unpack(each).stream == "s1" for each in found)

    def test_suspects_go_one_by_one(self, story, redis_url):
        """Two suspect tails are never replayed at the same time on one pod."""
        for key in (AGENT, CUSTOMER):
            story.take(key, STEPS[0], -1)
        for name in ("pod-x", "pod-y"):
            story.pod.killed()
            story.pod = Pod(redis_url, name)
            for key in (AGENT, CUSTOMER):
                story.pod.store.claim(key, suspect=True)  # adopted, and died before the replay
        story.pod.killed()
        last = Pod(redis_url, "pod-z")
        running, most, restore = [], [], last.decoding.restore

        def watched(key, stored, tail):
            running.append(key)
            most.append(len(running))
            threading.Event().wait(0.05)
            live = restore(key, stored, tail)
            running.remove(key)
            return live

        last.decoding.restore = watched
        last.decoding.skip = watched
        threads = [
            threading.Thread(target=last.take, args=(key, STEPS[1])) for key in (AGENT, CUSTOMER)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1, 1]
        assert last.store.peek(AGENT).next_seq == last.store.peek(CUSTOMER).next_seq == 2


class PoisonStory:
    """Pods that die of poisoned audio one after the other; *pod* is the living one."""

    def __init__(self, redis_url, kept=0):
        self.deaths = 0
        self._redis_url = redis_url
        self._kept = kept
        self.pod = self._new()

    def _new(self):
        return Pod(self._redis_url, f"pod-{self.deaths}", recognizers=cursed(), kept=self._kept)

    def take(self, key, step, after):
        """Take a step, or die and let the next pod begin."""
        try:
            return self.pod.take(key, step, after)
        except Killed:
            self.deaths += 1
            self.pod.killed()
            self.pod = self._new()
            raise SessionMoved("the phone lost its connection") from None

    def poison(self, key, bystander=None):
        """Send poison until it is acknowledged; the *bystander* sends in between."""
        caller = Caller(key, fakes.chunks(fakes.poison()), self.take)
        while not caller.done:
            caller.send()
            if bystander and not bystander.done:
                bystander.send()
        return self.pod.store.peek(key)


class TestEnd:
    """Ends of channels and calls."""

    def test_end_repeats_after_close(self, pod, redis_url):
        """The end may be sent again after the call closed: the last finals come with it."""
        for step in STEPS:
            last = pod.take(AGENT, step)
        assert told(redis_url, "ended")
        for _ in range(2):
            again = pod.take(AGENT, STEPS[-1])
            assert (again.next_seq, again.finals[-1:]) == (last.next_seq, last.finals[-1:])
        assert len(told(redis_url, "ended")) == 1

    def test_nothing_else_after_close(self, pod):
        """A chunk of a call that ended is gone, on any of its channels."""
        for step in STEPS:
            pod.take(AGENT, step)
        for key in (AGENT, CUSTOMER):
            with pytest.raises(CallEnded):
                pod.take(key, chunk(99, 99_000))
        assert len(pod.sessions) == 0

    def test_ends_with_last_channel(self, pod, redis_url):
        """A call ends once, when its last channel ends, and not before."""
        other = steps_of(conversation(3))
        for key, steps in ((CUSTOMER, other[:-1]), (AGENT, STEPS)):
            for step in steps:
                pod.take(key, step)
        assert told(redis_url, "ended") == []
        pod.take(CUSTOMER, other[-1])
        assert told(redis_url, "ended") == [
            ("linewatch.call.ended.v1", "/tenants/default/calls/c1", "ended")
        ]

    def test_ended_channel_stays_ended(self, pod):
        """A channel that ended while its call goes on takes nothing more and holds no memory."""
        pod.take(CUSTOMER, chunk())
        for step in STEPS:
            pod.take(AGENT, step)
        with pytest.raises(CallEnded):
            pod.take(AGENT, chunk(len(STEPS), 99_000))
        assert AGENT not in pod.sessions

    def test_sender_comes_back_late(self, pod):
        """A sender that comes back after the reaper ended its channel is told that it ended."""
        pod.take(CUSTOMER, chunk())
        for step in STEPS[:6]:
            pod.take(AGENT, step)
        pod.sessions.abandon(AGENT)
        for late in (STEPS[6], End(6, "s1")):
            with pytest.raises(CallEnded):
                pod.take(AGENT, late)


class TestAbandon:
    """Senders that never come back."""

    def test_words_are_published(self, redis_url):
        """Owner and sender gone: another pod replays, publishes what was said, and ends."""
        first = Pod(redis_url, "pod-a")
        for step in STEPS[:SPEAKING]:
            spoken = first.take(AGENT, step).partial
        first.killed()
        second = Pod(redis_url, "pod-b")
        second.sessions.abandon(AGENT)
        assert spoken
        assert spoken.encode() in dict(outbox(redis_url)[-2])[b"value"]
        assert b'"reason": "abandoned"' in dict(outbox(redis_url)[-1])[b"value"]
        assert len(second.sessions) == 0
        assert second.metrics.abandoned._value.get() == 1

    def test_living_owner_keeps(self, pod, redis_url):
        """What a living pod owns is not abandoned by another."""
        pod.take(AGENT, STEPS[0])
        Pod(redis_url, "pod-b").sessions.abandon(AGENT)
        assert not pod.store.peek(AGENT).ended

    def test_sender_that_never_came(self, pod, redis_url):
        """A session that was opened and got nothing ends too."""
        pod.store.claim(AGENT, START, rate_hz=8000)
        pod.sessions.abandon(AGENT)
        assert pod.store.peek(AGENT).ended == "abandoned"
        assert told(redis_url, "ended")

    def test_unfinished_end_is_finished(self, pod, redis_url):
        """An end that was committed but not heard is heard by the reaper: a hangup, as said."""
        pod.take(AGENT, STEPS[0])
        pod.store.commit(AGENT, pod.store.peek(AGENT).epoch, End(1, "s1"))
        pod.forget(AGENT)
        pod.sessions.abandon(AGENT)
        assert pod.store.peek(AGENT).ended == "hangup"
        assert pod.metrics.abandoned._value.get() == 0

    def test_failed_end_forgets(self, pod):
        """A store that fails during the end leaves no stale copy behind."""
        pod.take(AGENT, STEPS[0])
        commit = pod.store.commit

        def lying(key, epoch, step):
            commit(key, epoch, step)
            raise StoreUnavailable("injected")

        pod.store.commit = lying
        with pytest.raises(StoreUnavailable):
            pod.sessions.abandon(AGENT)
        assert AGENT not in pod.sessions


def _take_back(pod):
    """Let *pod* give the agent's session up, and take it again."""
    for step in STEPS[:3]:
        pod.take(AGENT, step)
    pod.sessions.ask_for_release(1)
    rest = iter(STEPS[3:])
    while not pod.sessions.has_given_up(AGENT):
        pod.take(AGENT, next(rest))
    pod.take(AGENT, next(rest))


class TestGivingUp:
    """Sessions given up for others to take."""

    def test_only_the_excess(self, pod):
        """As many sessions as asked for are given up, each when it passes an edge."""
        for key in (AGENT, CUSTOMER):
            for step in STEPS[:3]:
                pod.take(key, step)
        pod.sessions.ask_for_release(1)
        for step in STEPS[3:]:
            if AGENT in pod.sessions and CUSTOMER in pod.sessions:
                pod.take(AGENT, step)
                pod.take(CUSTOMER, step)
        assert pod.sessions.has_given_up(AGENT)
        assert CUSTOMER in pod.sessions
        assert pod.metrics.releases._value.get() == 1

    def test_what_moved_least(self, pod):
        """A session that moved stays where one that did not can be given up instead."""
        _take_back(pod)
        pod.sessions.ask_for_release(1)
        pod.take(CUSTOMER, STEPS[0])
        pod.sessions.ask_for_release(1)
        asked = {key: live.release for key, live in pod.sessions._live.items()}
        assert asked == {AGENT: False, CUSTOMER: True}

    def test_taken_back_is_kept(self, pod):
        """A session that nobody else took is kept once it is taken back."""
        _take_back(pod)
        assert AGENT in pod.sessions
        assert not pod.sessions.has_given_up(AGENT)

    def test_memory_of_it_fades(self, pod):
        """What was given up may come back after a while."""
        pod.sessions._given_up.add(AGENT)
        pod.sessions.forget_given_up()
        assert not pod.sessions.has_given_up(AGENT)


class TestPartials:
    """Words being spoken."""

    def test_changes_are_taken_once(self, pod):
        """Partials that changed are handed out once, an utterance's end as an empty one."""
        for step in STEPS[:5]:
            reply = pod.take(AGENT, step)
        assert pod.sessions.take_partials() == {AGENT: reply.partial}
        assert pod.sessions.take_partials() == {}
        pod.forget(AGENT)
        assert pod.sessions.take_partials() == {AGENT: ""}
