"""Any interleaving of a phone's and a decoder's accidents, against the pure fold."""

from contextlib import suppress

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from linewatch.calls import (
    CallEnd,
    Channel,
    ChannelKey,
    Chunk,
    Codec,
    End,
    EndReason,
    Gap,
    GapReason,
)
from linewatch.decoder.recognition.session import Session
from linewatch.errors import (
    Conflict,
    PositionConflict,
    SequenceConflict,
    SequenceGap,
    StoreUnavailable,
    StreamReplaced,
)
from linewatch.events import call_ended, call_gap, call_started, to_record, utterance_final
from tests.linewatch.decoder.pods import (
    START,
    STARTED_AT_MS,
    Pod,
    conversation,
    outbox,
    unanswered,
)
from tests.support import fakes

SOUND = conversation(5)
LOST = st.integers(0, 6000)
ASKED = ("claim", "commit", "pass_edge", "prove", "release", "finals", "close")
SIZES = st.sampled_from([160, 1000, 2000, 2000, 2000, 7001])


def record_of(event):
    """Return an event as it lies in the outbox."""
    fields = to_record(event).fields()
    return tuple(sorted((name.encode(), value) for name, value in fields.items()))


def expected(key, steps):
    """Return the outbox that *steps*, ended by an `End`, must have made."""
    session = Session(key, STARTED_AT_MS, 8000, fakes.HashRecognizers())
    edges = [edge for step in steps for edge in session.accept(step)]
    made = [call_started(START)]
    for edge in edges:
        made += [utterance_final(edge.utterance)] if edge.utterance else []
        made += [call_gap(edge.missing)] if edge.missing else []
    counted = CallEnd(
        key.tenant,
        key.call,
        STARTED_AT_MS,
        STARTED_AT_MS + session.next_position // 8,
        EndReason.HANGUP,
        sum(isinstance(step, Chunk) for step in steps),
        sum(edge.utterance is not None for edge in edges),
        sum(edge.missing is not None for edge in edges),
    )
    return [record_of(event) for event in (*made, call_ended(counted))]


class Calls(RuleBasedStateMachine):
    """One channel: whatever happens, the outbox is the fold of the steps that were accepted."""

    redis_url = ""

    @initialize(channel=st.sampled_from([Channel.AGENT, Channel.MIXED]))
    def begin(self, channel):
        """Begin a call on the first pod with its first chunk."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        self.key = ChannelKey.of("default", "c1", channel)
        self.pods = [Pod(self.redis_url, "pod-0")]
        self.accepted, self.old = [], []
        self.seq, self.position, self.stream = 0, 0, "run-0"
        self.send(2000)

    def take(self, step):
        """Take a step and note what is due after it."""
        reply = self.pods[-1].take(self.key, step)
        self.accepted.append(step)
        self.seq, self.position = reply.next_seq, reply.next_position

    def refused(self, step, kind):
        """See a step refused as it should be."""
        with pytest.raises(Conflict) as caught:
            self.pods[-1].take(self.key, step)
        assert caught.type is kind

    def chunk(self, size, *, seq=None, position=None, stream=None):
        """Return the chunk that is due, or another one."""
        begin = self.position if position is None else position
        begin_in_sound = begin % (len(SOUND) - 8000)
        audio = fakes.encoded(SOUND[begin_in_sound : begin_in_sound + size], Codec.PCMU)
        seq = self.seq if seq is None else seq
        return Chunk(seq, begin, stream or self.stream, Codec.PCMU, 8000, audio)

    @rule(size=SIZES)
    def send(self, size):
        """Send the next chunk."""
        self.take(self.chunk(size))

    def lose(self, step, *, taken):
        """Take a step without an answer of the store, which has *taken* it or not."""
        with unanswered(self.pods[-1].store, taken=taken), pytest.raises(StoreUnavailable):
            self.pods[-1].take(self.key, step)

    @rule(size=SIZES, taken=st.booleans(), resent=st.booleans())
    def lose_answer(self, size, taken, resent):
        """Send the next chunk, of which the store does not tell whether it took it."""
        step = self.chunk(size)
        self.lose(step, taken=taken)
        if resent:
            self.take(step)
        elif taken:
            self.accepted.append(step)
            self.seq, self.position = step.seq + 1, step.end_position

    @rule(size=SIZES, asked=st.sampled_from(ASKED), taken=st.booleans(), moves=st.booleans())
    def lose_any(self, size, asked, taken, moves):
        """Send the next chunk until it is taken; answers of one kind were lost at first."""
        step = self.chunk(size)
        self.try_once(step, asked, taken=taken)
        if moves:
            self.kill_decoder()
        self.take(step)

    def try_once(self, step, asked, *, taken):
        """Send a step while the answers to what is *asked* of the store are lost."""
        store = self.pods[-1].store
        with unanswered(store, taken=taken, asked=asked), suppress(StoreUnavailable):
            self.pods[-1].take(self.key, step)

    @rule(back=st.integers(1, 9), lost=st.booleans(), taken=st.booleans())
    def repeat(self, back, lost, taken):
        """Send an old step of this stream again: it is a duplicate, were an answer lost or not."""
        mine = [step for step in self.accepted if step.stream == self.stream]
        step = mine[-min(back, len(mine))]
        if lost:
            self.lose(step, taken=taken)
        reply = self.pods[-1].take(self.key, step)
        assert (reply.next_seq, reply.next_position) == (self.seq, self.position)

    @rule()
    def alter(self):
        """Send the last chunk again with other bytes: it is refused."""
        last = self.accepted[-1]
        if isinstance(last, Chunk):
            self.refused(self.chunk(8, seq=last.seq, position=last.position), SequenceConflict)

    @rule(ahead=st.integers(1, 5))
    def overtake(self, ahead):
        """Send a chunk too early: it is refused."""
        self.refused(self.chunk(2000, seq=self.seq + ahead), SequenceGap)

    @rule(lost=LOST)
    def drop(self, lost):
        """Go on at the next number with a later position."""
        self.take(self.chunk(2000, position=self.position + lost))

    @rule(back=st.integers(1, 8000), size=SIZES)
    def overlap(self, back, size):
        """Send the next number with up to a second that was heard: the rest of it is taken."""
        if back <= self.position:
            self.take(self.chunk(size, position=self.position - back))

    @rule(back=st.integers(8001, 8500))
    def go_back(self, back):
        """Send the next number with more than a second that was heard: it is refused."""
        if back <= self.position:
            self.refused(self.chunk(2000, position=self.position - back), PositionConflict)

    @rule(lost=LOST, steps=st.integers(1, 9), reason=st.sampled_from(list(GapReason)[:4]))
    def tell_gap(self, lost, steps, reason):
        """State a gap."""
        gap = Gap(self.seq, self.seq + steps, self.position + lost, self.stream, reason)
        self.take(gap)

    @rule(seq=st.integers(0, 400), lost=LOST)
    def restart_sender(self, seq, lost):
        """Go on as another run of the sender; the run before is stopped."""
        before = self.stream
        if len(self.old) > 20:
            return
        self.old.append(before)
        self.stream = f"run-{len(self.old)}"
        self.take(self.chunk(2000, seq=seq, position=self.position + lost))
        self.refused(self.chunk(2000, stream=before), StreamReplaced)

    @rule()
    def kill_decoder(self):
        """Let the next pod take over from one that is gone."""
        self.pods[-1].killed()
        self.pods.append(Pod(self.redis_url, f"pod-{len(self.pods)}"))

    @rule()
    def ask_for_release(self):
        """Ask for the session at its next edge."""
        self.pods[-1].sessions.ask_for_release(1)

    @rule()
    def pass_on(self):
        """Let another pod go on with a session that is given up, its last one alive."""
        if not self.pods[-1].sessions.is_owned(self.key):
            self.pods.append(Pod(self.redis_url, f"pod-{len(self.pods)}"))

    @rule()
    def tidy(self):
        """Let every pod, dead ones too, look whether its copies are still its own."""
        for pod in self.pods:
            pod.sessions.drop_lost()

    @rule()
    def forget(self):
        """Lose the memory of the session."""
        self.pods[-1].forget(self.key)

    def teardown(self):
        """End the call and compare."""
        if not hasattr(self, "accepted"):
            return
        end = End(self.seq, self.stream)
        self.try_once(end, ASKED[self.position % len(ASKED)], taken=bool(self.seq % 2))
        self.take(end)
        assert outbox(self.redis_url) == expected(self.key, self.accepted)


def test_any_interleaving(redis_url):
    """Whatever phone and decoder go through, the outbox is the fold of what was accepted."""
    Calls.redis_url = redis_url
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
