"""Ends of channels and calls, senders that never come back, and sessions given up."""

import pytest

from linewatch.calls import End
from linewatch.errors import CallEnded, StoreUnavailable
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    SPEAKING,
    START,
    STEPS,
    Pod,
    chunk,
    conversation,
    outbox,
    steps_of,
    told,
)


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
