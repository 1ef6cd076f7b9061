"""Three pods, one channel, every accident in any order: each answer is the pure fold's answer."""

import json
import os
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from linewatch import errors, keys
from linewatch.calls import Channel, ChannelKey, Chunk, Codec, End, Gap, GapReason
from linewatch.decoder.recognition.session import Session
from linewatch.decoder.store.answers import Owner, final_of
from tests.linewatch.decoder.ownership.test_sessions_model import expected
from tests.linewatch.decoder.pods import START, STARTED_AT_MS, Pod, conversation, outbox
from tests.support import fakes

SOUND = conversation(5)
PODS = st.integers(0, 2)
SIZES = st.sampled_from([160, 2000, 2000, 7001])
REASONS = st.sampled_from(list(GapReason)[:4])
EXAMPLES = int(os.environ.get("FOLD_EXAMPLES", "30"))
STEPS = int(os.environ.get("FOLD_STEPS", "40"))


class Model:
    """One channel by the book: what was accepted, in lists, without epochs, scripts or tails."""

    def __init__(self, key):
        self.accepted = []
        #: A repeat is compared with these; what lies before a gap is taken for a duplicate.
        self.compared = []
        self.finals = []
        self.stream, self.past = "", set()
        self.next_seq = self.next_position = 0
        self._session = Session(key, STARTED_AT_MS, 8000, fakes.HashRecognizers())

    def verdict(self, step):
        """Return the error that *step* must meet; none if it is accepted, or was before."""
        due = self.next_seq
        if step.stream != self.stream:
            if step.stream in self.past:
                return errors.StreamReplaced
            due = _first(step) if self.stream else 0
        elif _after(step) <= due:
            known = [old for old in self.compared if _after(old) == _after(step)]
            return errors.SequenceConflict if known and known != [step] else None
        if _first(step) != due:
            return errors.SequenceGap
        if not isinstance(step, End) and step.position < self.next_position - 8000:
            return errors.PositionConflict
        return None

    def is_known(self, step):
        """Tell whether *step* was accepted before."""
        return step.stream == self.stream and _after(step) <= self.next_seq

    def take(self, step):
        """Fold *step* in."""
        if self.stream not in {"", step.stream}:
            self.past.add(self.stream)
        if step.stream != self.stream or isinstance(step, Gap):
            self.compared.clear()
        self.accepted.append(step)
        self.compared.append(step)
        edges = self._session.accept(step)
        self.finals += [final_of(edge.utterance) for edge in edges if edge.utterance]
        self.stream, self.next_seq = step.stream, _after(step)
        self.next_position = self._session.next_position

    def reply(self, after):
        """Return what the sender of the last step is told."""
        finals = [final for final in self.finals if final["first_sample"] > after]
        return self.next_seq, self.next_position, self._session.partial, finals


def _first(step):
    return step.from_seq if isinstance(step, Gap) else step.seq


def _after(step):
    return step.next_seq if isinstance(step, Gap) else step.seq + 1


class Machine(RuleBasedStateMachine):
    """Steps reach any of three pods; leases run out and come back; copies go stale."""

    redis_url = ""

    @initialize(channel=st.sampled_from([Channel.AGENT, Channel.MIXED]))
    def begin(self, channel):
        """Begin a call on the first pod."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        self.key = ChannelKey.of("default", "c1", channel)
        self.pods = [Pod(self.redis_url, f"pod-{number}") for number in range(3)]
        self.living = {0, 1, 2}
        self.owner, self.copies = 0, {0}
        self.model = Model(self.key)
        self.stream = "run-0"
        self.bring(0, self.chunk(2000), -1)

    # -- what reaches a pod -------------------------------------------------------------

    def bring(self, number, step, after):
        """Let *step* reach a pod, and see it answered as the book says; tell whether it was."""
        pod = self.pods[number]
        if number in self.copies and number != self.owner:
            self.copies.discard(number)
            self.refused(pod, step, after, errors.SessionMoved)
            return False
        if number not in self.copies and self.owner != number and self.owner in self.living:
            found = self.given(pod, step, after)
            assert isinstance(found, Owner)
            assert found.pod == self.pods[self.owner].name
            return False
        self.owner = number
        self.copies.add(number)
        error = self.model.verdict(step)
        if error:
            self.refused(pod, step, after, error)
            return False
        if not self.model.is_known(step):
            self.model.take(step)
        reply = self.given(pod, step, after)
        told = (reply.next_seq, reply.next_position, reply.partial, reply.finals)
        assert json.dumps(told) == json.dumps(self.model.reply(after))
        return True

    def given(self, pod, step, after):
        """Return a pod's answer."""
        return pod.sessions.take(self.key, step, after=after, start=START)

    def refused(self, pod, step, after, error):
        """See a step refused with *error*, and told where the channel stands."""
        with pytest.raises(errors.Conflict) as caught:
            self.given(pod, step, after)
        assert caught.type is error
        if error in {errors.SequenceGap, errors.SequenceConflict}:
            assert caught.value.extra["next_seq"] == self.model.next_seq

    def chunk(self, size, *, ahead=0, lost=0):
        """Return the chunk that is due, or one *ahead* of it, after *lost* samples."""
        begin = self.model.next_position + 2000 * ahead + lost
        place = begin % (len(SOUND) - 8000)
        audio = fakes.encoded(SOUND[place : place + size], Codec.PCMU)
        return Chunk(self.model.next_seq + ahead, begin, self.stream, Codec.PCMU, 8000, audio)

    def after(self, back):
        """Return the first sample of a final some way back; -1 before any."""
        firsts = [-1, *(final["first_sample"] for final in self.model.finals)]
        return firsts[-1 - min(back, len(firsts) - 1)]

    # -- a sender's life ------------------------------------------------------------------

    @rule(pod=PODS, size=SIZES, back=st.integers(0, 3))
    def send(self, pod, size, back):
        """Send what is due."""
        self.bring(pod, self.chunk(size), self.after(back))

    @rule(pod=PODS, which=st.integers(1, 9), back=st.integers(0, 3))
    def duplicate(self, pod, which, back):
        """Send an old step of this run again: the reply that was lost is made up for."""
        mine = [step for step in self.model.accepted if step.stream == self.stream]
        self.bring(pod, mine[-min(which, len(mine))], self.after(back))

    @rule(pod=PODS, which=st.integers(1, 9))
    def conflicting_duplicate(self, pod, which):
        """Send an old chunk with other bytes."""
        mine = [
            step
            for step in self.model.accepted
            if isinstance(step, Chunk) and step.stream == self.stream
        ]
        if mine:
            old = mine[-min(which, len(mine))]
            self.bring(pod, replace(old, audio=bytes(b ^ 1 for b in old.audio)), -1)

    @rule(pod=PODS, order=st.permutations(range(5)))
    def reorder(self, pod, order):
        """Send the next five in any order, then what is missing in the right one."""
        window = [self.chunk(2000, ahead=ahead) for ahead in range(5)]
        for place in (*order, *range(5)):
            self.bring(pod, window[place], -1)

    @rule(pod=PODS, lost=st.integers(1, 9000))
    def drop(self, pod, lost):
        """Go on at the next number, behind samples that never come."""
        self.bring(pod, self.chunk(2000, lost=lost), -1)

    @rule(pod=PODS, back=st.one_of(st.integers(1, 2500), st.integers(7999, 9000)))
    def go_back(self, pod, back):
        """Send samples again under a new number, up to a second of them and more."""
        if back <= self.model.next_position:
            self.bring(pod, self.chunk(2000, lost=-back), -1)

    @rule(pod=PODS, lost=st.integers(-9000, 6000), steps=st.integers(1, 9), reason=REASONS)
    def gap(self, pod, lost, steps, reason):
        """State a gap."""
        due, position = self.model.next_seq, max(0, self.model.next_position + lost)
        self.bring(pod, Gap(due, due + steps, position, self.stream, reason), -1)

    @rule(pod=PODS, seq=st.integers(0, 400), lost=st.integers(0, 6000))
    def sender_restart(self, pod, seq, lost):
        """Go on as another run at any number; the run before is turned away."""
        if len(self.model.past) > 20:
            return
        before = self.stream
        self.stream = f"run-{len(self.model.past) + 1}"
        if self.bring(pod, replace(self.chunk(2000, lost=lost), seq=seq), -1):
            self.bring(pod, replace(self.chunk(2000), stream=before), -1)
        else:
            self.stream = before

    # -- a decoder's life ------------------------------------------------------------------

    @rule(pod=PODS)
    def stop(self, pod):
        """Let a pod stand still until its lease is gone; it keeps its copy and knows nothing."""
        self.pods[pod].killed()
        self.living.discard(pod)

    @rule(pod=PODS)
    def go_on(self, pod):
        """Let it go on: it takes its lease anew, and still believes what it believed."""
        with redis.Redis.from_url(self.redis_url) as client:
            name = self.pods[pod].name
            client.hset(keys.pod(name), mapping={"address": f"http://{name}", "sessions": 0})
        self.living.add(pod)

    @rule(pod=PODS)
    def decoder_restart(self, pod):
        """Let a pod lose its memory."""
        self.pods[pod].forget(self.key)
        self.copies.discard(pod)

    def teardown(self):
        """End the call where it is, and compare every byte that was published."""
        if not hasattr(self, "model"):
            return
        end = End(self.model.next_seq, self.stream)
        for number in (*range(3), *range(3)):
            pod = self.pods[number]
            if number in self.copies and number != self.owner:
                self.refused(pod, end, -1, errors.SessionMoved)
                self.copies.discard(number)
        pod = self.pods[self.owner]
        assert pod.sessions.take(self.key, end, after=-1).next_seq == end.seq + 1
        assert outbox(self.redis_url) == expected(self.key, [*self.model.accepted, end])
        for each in self.pods:
            each.store._redis.close()


def test_answers_are_the_folds(redis_url):
    """Whatever happens in whatever order, pods answer and publish as the pure fold does."""
    Machine.redis_url = redis_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
