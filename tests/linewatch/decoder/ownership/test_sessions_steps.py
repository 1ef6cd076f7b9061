"""Steps that come again, and steps a session does not take."""

import threading
from dataclasses import replace

import pytest
import redis

from linewatch import keys
from linewatch.calls import End, Gap, GapReason
from linewatch.decoder.store.answers import Owner
from linewatch.errors import (
    BadChunk,
    NotFound,
    OwnerBusy,
    PositionConflict,
    SequenceConflict,
    SequenceGap,
    SessionMoved,
    StoreUnavailable,
    StreamReplaced,
)
from tests.linewatch.decoder.pods import AGENT, CUSTOMER, STEPS, Caller, Pod, chunk, outbox, told


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
        """A new sender more than a second back is refused and replaces nobody."""
        for step in STEPS[:6]:
            pod.take(AGENT, step)
        with pytest.raises(PositionConflict) as caught:
            pod.take(AGENT, replace(STEPS[1], stream="s2"))
        assert caught.value.extra["next_position"] == 12_000
        assert pod.take(AGENT, STEPS[6]).next_seq == 7

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
            leave.wait(60)
            return []

        pod.take(AGENT, STEPS[0])
        pod.decoding._decode = slow
        first = threading.Thread(target=pod.take, args=(AGENT, STEPS[1]))
        first.start()
        assert entered.wait(60)
        with pytest.raises(OwnerBusy):
            pod.take(AGENT, STEPS[1])
        leave.set()
        first.join()
        assert pod.take(AGENT, STEPS[1]).next_seq == 2
