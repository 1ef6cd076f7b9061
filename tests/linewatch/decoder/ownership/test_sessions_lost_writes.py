"""Sessions over a store whose answers were lost, and one that lost writes."""

from dataclasses import replace

import pytest
import redis

from linewatch import keys
from linewatch.calls import Gap, GapReason
from linewatch.decoder.store import packed_steps as packing
from linewatch.errors import StoreUnavailable
from tests.linewatch.decoder.pods import (
    AGENT,
    SPEAKING,
    STEPS,
    Caller,
    Pod,
    first_occurrences,
    outbox,
    unanswered,
    undisturbed,
)


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
