"""Ends of channels and calls, senders that never come back, and sessions given up."""

import pytest

from linewatch.calls import End, Gap, GapReason
from linewatch.errors import BadChunk, CallEnded, StoreUnavailable
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    NOW_MS,
    SPEAKING,
    START,
    STEPS,
    Pod,
    chunk,
    conversation,
    data_of,
    steps_of,
    told,
    unanswered,
)
from tests.support import fakes


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

    def test_ended_stream_stays_ended(self, pod):
        """A stream that ended while its call goes on takes nothing more and holds no memory."""
        pod.take(CUSTOMER, chunk())
        for step in STEPS:
            pod.take(AGENT, step)
        with pytest.raises(CallEnded):
            pod.take(AGENT, chunk(len(STEPS), 99_000, stream=STEPS[-1].stream))
        assert AGENT not in pod.sessions

    @pytest.mark.parametrize("position", [0, 5000, 99_000])
    def test_leg_comes_back(self, pod, redis_url, position):
        """A leg that ended comes back under a new stream while its call lives."""
        pod.take(CUSTOMER, chunk())
        for step in STEPS:
            ended = pod.take(AGENT, step)
        sound = fakes.chunks(conversation(7), stream="s2", position=position)
        for step in sound:
            reply = pod.take(AGENT, step)
        pod.take(AGENT, End(len(sound), "s2"))
        assert reply.next_position == sound[-1].end_position
        said = [data for data in data_of(redis_url, "utterance") if data["channel"] == "agent"]
        starts = [data["start_ms"] for data in said]
        assert starts == sorted(starts)
        assert len({data["first_sample"] for data in said}) == len(said) > 5
        assert starts[-1] > (ended.next_position + 8 * 5000) / 8
        assert {data["reason"] for data in data_of(redis_url, "gap")} <= {"silent"}

    def test_ended_call_takes_no_leg(self, pod):
        """When its call ended too, a leg stays ended."""
        for step in STEPS:
            pod.take(AGENT, step)
        with pytest.raises(CallEnded):
            pod.take(AGENT, chunk(stream="s2"))


class TestPark:
    """Channels on which nothing comes."""

    def test_words_are_published(self, redis_url):
        """Owner and sender gone: another pod replays, and publishes what was said."""
        first = Pod(redis_url, "pod-a")
        for step in STEPS[:SPEAKING]:
            spoken = first.take(AGENT, step).partial
        first.killed()
        second = Pod(redis_url, "pod-b")
        second.park(AGENT)
        assert spoken
        assert data_of(redis_url, "utterance")[-1]["text"].startswith(spoken)
        assert len(second.sessions) == 0
        assert second.metrics.parked._value.get() == 1
        assert told(redis_url, "ended") == []

    def test_living_owner_keeps(self, pod, redis_url):
        """What a living pod owns is not parked by another."""
        pod.take(AGENT, STEPS[0])
        Pod(redis_url, "pod-b").park(AGENT)
        assert not pod.store.peek(AGENT).parked

    def test_step_comes_first(self, pod):
        """A channel that got a step between the look at it and the act is not parked."""
        pod.take(AGENT, STEPS[0])
        pod.sessions.park(AGENT, 30)
        assert not pod.store.peek(AGENT).parked
        for step in STEPS[1:]:
            pod.take(AGENT, step)

    def test_it_goes_on(self, pod, redis_url):
        """The next step goes on: the time between is a gap in which nothing was sent."""
        for step in STEPS[:SPEAKING]:
            pod.take(AGENT, step)
        pod.park(AGENT)
        for step in STEPS[SPEAKING:]:
            pod.take(AGENT, step)
        (gap,) = data_of(redis_url, "gap")
        assert gap["reason"] == "silent"
        assert gap["start_ms"] == STEPS[SPEAKING].position // 8
        assert gap["end_ms"] - gap["start_ms"] == pytest.approx(60_000 - 250, abs=1500)
        later = [d for d in data_of(redis_url, "utterance") if d["start_ms"] >= gap["end_ms"]]
        assert later
        (end,) = data_of(redis_url, "ended")
        assert end["ended_at"] > "2026-01-01T00:01:08"

    def test_position_tells_what_is_missing(self, pod, redis_url):
        """A position further on than what was heard says by itself how much was lost."""
        pod.take(AGENT, STEPS[0])
        pod.park(AGENT)
        pod.take(AGENT, chunk(1, 2000 + 8 * 45_000, stream="s1"))
        (gap,) = data_of(redis_url, "gap")
        assert (gap["reason"], gap["start_ms"], gap["end_ms"]) == ("lost", 250, 45_250)

    def test_pause_keeps_its_name(self, pod, redis_url):
        """A channel whose sender said that it paused comes back from a pause."""
        pod.take(AGENT, STEPS[0])
        pod.take(AGENT, Gap(1, 2, 2000, "s1", GapReason.PAUSED))
        pod.park(AGENT)
        pod.take(AGENT, chunk(2, 2000))
        assert [gap["reason"] for gap in data_of(redis_url, "gap")] == ["paused"]

    def test_parked_again_and_again(self, pod, redis_url):
        """Each silence is told once, also by a pod that took over just after it."""
        for number in range(3):
            pod.take(AGENT, chunk(number, 2000 * number))
            pod.forget(AGENT)
            pod.park(AGENT)
        pod.take(AGENT, chunk(3, 6000))
        gaps = data_of(redis_url, "gap")
        assert [gap["reason"] for gap in gaps] == ["silent"] * 3
        assert [gap["start_ms"] for gap in gaps] == sorted(gap["start_ms"] for gap in gaps)
        assert len({gap["first_sample"] for gap in gaps}) == 3

    def test_unfinished_end_is_finished(self, pod, redis_url):
        """An end that was committed but not heard is heard by the reaper: a hangup, as said."""
        pod.take(AGENT, STEPS[0])
        pod.store.commit(AGENT, pod.store.peek(AGENT).epoch, End(1, "s1"))
        pod.forget(AGENT)
        pod.park(AGENT)
        assert pod.store.peek(AGENT).ended == "hangup"
        assert len(told(redis_url, "ended")) == 1

    def test_failed_write_forgets(self, pod):
        """A store that fails meanwhile leaves no stale copy behind."""
        pod.take(AGENT, STEPS[0])
        with unanswered(pod.store, taken=True, asked="pass_edge"), pytest.raises(StoreUnavailable):
            pod.park(AGENT)
        assert AGENT not in pod.sessions


class TestOtherRate:
    """A channel that goes on at another rate."""

    @pytest.mark.parametrize("lost_ms", [0, 3000])
    def test_new_stream_brings_it(self, pod, redis_url, lost_ms):
        """A new stream may bring another rate: times go on, and no two utterances have one name."""
        narrow = fakes.chunks(conversation(1))
        for step in narrow:
            pod.take(AGENT, step)
        begin = 2 * narrow[-1].end_position + 16 * lost_ms
        wide = fakes.chunks(conversation(2, 16_000), rate_hz=16_000, stream="s2", position=begin)
        for step in wide:
            pod.take(AGENT, step)
            pod.forget(AGENT)
        pod.take(AGENT, End(len(wide), "s2"))
        said = data_of(redis_url, "utterance")
        assert max(data["end_ms"] for data in said) > 14_000 + lost_ms
        assert len({data["first_sample"] for data in said}) == len(said)
        lost = [gap["end_ms"] - gap["start_ms"] for gap in data_of(redis_url, "gap")]
        assert lost == [lost_ms] * bool(lost_ms)
        (end,) = data_of(redis_url, "ended")
        assert end["chunks"] == len(narrow) + len(wide)

    def test_it_may_count_from_anew(self, pod, redis_url):
        """A stream of another rate that counts from 0 goes on where the last one ended."""
        pod.take(AGENT, STEPS[0])
        pod.take(AGENT, chunk(stream="s2", rate_hz=16_000))
        assert pod.take(AGENT, chunk(1, 2000, stream="s2", rate_hz=16_000)).next_position == 4000
        assert data_of(redis_url, "gap") == []

    def test_one_stream_keeps_its_rate(self, pod):
        """Within one stream another rate is an error that says what to do."""
        pod.take(AGENT, chunk())
        with pytest.raises(BadChunk, match="another stream"):
            pod.take(AGENT, chunk(1, 4000, rate_hz=16_000))


class TestJoin:
    """Channels that join late."""

    def test_nothing_is_lost(self, pod, redis_url):
        """A channel whose first chunk says 40 s begins there: nothing was lost on the way."""
        sound = fakes.chunks(conversation(3), position=40 * 8000)
        for step in sound:
            pod.take(AGENT, step)
            pod.forget(AGENT)
        pod.take(AGENT, End(len(sound), "s1"))
        assert data_of(redis_url, "gap") == []
        assert data_of(redis_url, "utterance")[0]["start_ms"] > 40_000


class TestAbandon:
    """Calls to which nobody came back."""

    def test_living_call_stays(self, pod, redis_url):
        """A call of which one channel is heard lives, whatever its other one does."""
        pod.take(AGENT, STEPS[0])
        pod.take(CUSTOMER, chunk())
        assert not pod.abandon(AGENT)
        assert told(redis_url, "ended") == []

    def test_it_comes_back(self, pod, redis_url):
        """A step that comes after all brings the call back, and so it goes on and ends anew."""
        for step in STEPS[:6]:
            pod.take(AGENT, step)
        assert pod.abandon(AGENT)
        for step in STEPS[6:]:
            pod.take(AGENT, step)
        names = [name[2] for kind in ("ended", "resumed") for name in told(redis_url, kind)]
        assert sorted(names) == ["ended", "ended-1", "resumed-1"]
        first, second = data_of(redis_url, "ended")
        assert (first["reason"], first["generation"]) == ("abandoned", 0)
        assert (second["reason"], second["generation"]) == ("hangup", 1)
        assert second["chunks"] == len(STEPS) - 1

    def test_each_channel_comes_back(self, pod, redis_url):
        """Both channels of a call come back, with a gap or with audio, and the call once."""
        for key in (AGENT, CUSTOMER):
            pod.take(key, chunk())
            pod.park(key)
        assert not pod.abandon(CUSTOMER)
        assert pod.abandon(AGENT)
        pod.take(AGENT, Gap(1, 2, 8 * 60_000, "s1", GapReason.OVERRUN))
        pod.take(CUSTOMER, chunk(1, 2000))
        assert len(told(redis_url, "resumed")) == 1
        for key in (AGENT, CUSTOMER):
            assert not pod.store.peek(key).ended
            pod.take(key, End(2, "s1"))
        assert len(told(redis_url, "ended")) == 2

    def test_end_needs_not_come_back(self, pod):
        """Who only wants to end a call that was given up is told that it ended."""
        pod.take(AGENT, STEPS[0])
        pod.abandon(AGENT)
        with pytest.raises(CallEnded):
            pod.take(AGENT, End(1, "s1"))

    def test_nothing_is_told_twice(self, pod, redis_url):
        """A call that was given up is given up once."""
        pod.take(AGENT, STEPS[0])
        assert pod.abandon(AGENT)
        assert not pod.store.abandon("default", "c1", NOW_MS, quiet_s=300, paused_s=3600)
        assert len(told(redis_url, "ended")) == 1

    def test_sender_that_never_came(self, pod, redis_url):
        """A session that was opened and got nothing ends too."""
        pod.store.claim(AGENT, START, rate_hz=8000)
        assert pod.abandon(AGENT)
        assert told(redis_url, "ended")


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
