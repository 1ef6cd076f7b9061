"""How a session in memory hears committed steps, replays a tail and skips one."""

import threading

import pytest

from linewatch.calls import End, Gap, GapReason
from linewatch.decoder.ownership.live import SessionDecoder
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.decoder.store.answers import Claimed
from linewatch.errors import SessionMoved
from linewatch.trace_context import trace_parent
from tests.linewatch.decoder.pods import (
    AGENT,
    START,
    Pod,
    chunk,
    conversation,
    steps_of,
    told,
)
from tests.support import fakes
from tests.support.tracer import ListTracer

SPOKEN = fakes.chunks(fakes.speech(2.0))


@pytest.fixture(name="pod")
def _pod(redis_url):
    return Pod(redis_url)


def opened(pod, steps=()):
    """Make a session, commit *steps* without hearing them, and return its claim."""
    pod.store.claim(AGENT, START, rate_hz=8000)
    for step in steps:
        pod.store.commit(AGENT, 1, step)
    claim = pod.store.claim(AGENT)
    assert claim.state is Claimed.ADOPTED
    return claim


class TestHear:
    """Committed steps are heard."""

    def test_edges_and_finals(self, pod, redis_url):
        """Steps that pass edges bring their finals and put their events into the outbox."""
        steps = [*SPOKEN, End(len(SPOKEN), "s1")]
        claim = opened(pod, steps)
        live = pod.decoding.restore(AGENT, claim.stored, ())
        outcome = pod.decoding.hear(live, steps)
        assert outcome.edges >= 1
        assert [final["first_sample"] for final in outcome.finals] == [
            int(name[2].partition("-")[0]) for name in told(redis_url, "final")
        ]
        assert live.last_final == outcome.finals[-1]["first_sample"]
        assert live.ended

    def test_long_chunk_is_watched_longer(self, pod, monkeypatch):
        """A decode has the watchdog's time for every second of its chunk."""
        watched, watching = [], pod.decoding._watchdog.watching
        monkeypatch.setattr(
            pod.decoding._watchdog,
            "watching",
            lambda audio_s: watched.append(audio_s) or watching(),
        )
        steps = [chunk(samples=24_000), End(1, "s1")]
        live = pod.decoding.restore(AGENT, opened(pod, steps).stored, ())
        pod.decoding.hear(live, steps)
        assert watched == [3.0, 0.0]

    def test_partial_is_shown(self, pod):
        """While somebody speaks the partial holds the words so far."""
        claim = opened(pod, SPOKEN[:4])
        live = pod.decoding.restore(AGENT, claim.stored, ())
        assert live.partial == ""
        pod.decoding.hear(live, SPOKEN[:4])
        assert live.partial == live.session.partial != ""

    def test_moved_session_stops(self, pod, redis_url):
        """When another pod owns the session by now, the edge lands nowhere and this is told."""
        steps = [*SPOKEN, End(len(SPOKEN), "s1")]
        claim = opened(pod, steps)
        live = pod.decoding.restore(AGENT, claim.stored, ())
        pod.store.claim(AGENT)
        with pytest.raises(SessionMoved):
            pod.decoding.hear(live, steps)
        assert told(redis_url, "final") == []

    def test_counts_what_it_told(self, pod):
        """Utterances and gaps that were published are counted."""
        steps = [*SPOKEN, Gap(8, 9, 20_000, "s1", GapReason.LOST), End(9, "s1")]
        claim = opened(pod, steps)
        outcome = pod.decoding.hear(pod.decoding.restore(AGENT, claim.stored, ()), steps)
        assert pod.metrics.utterances._value.get() == len(outcome.finals) >= 1
        assert pod.metrics.gaps.labels("lost")._value.get() == 1

    def test_utterances_are_spans(self, redis_url):
        """Every utterance that was committed is a span with the ids of its event, in order."""
        told_to = ListTracer()
        pod = Pod(redis_url)
        pod.decoding = SessionDecoder(
            pod.store, pod.recognizers, pod.metrics, Watchdog(5.0), 2, tracer=told_to
        )
        steps = [*SPOKEN, End(len(SPOKEN), "s1")]
        claim = opened(pod, steps)
        pod.decoding.hear(pod.decoding.restore(AGENT, claim.stored, ()), steps)
        assert told_to.told == [
            ("utterance", trace_parent("default", "c1", AGENT.source, name), "")
            for _, _, name in told(redis_url, "final")
        ]
        assert all(span.began_ns >= 1 and not span.attributes for span in told_to.spans)

    def test_moved_utterance_has_no_span(self, redis_url):
        """An utterance that could not be committed is nobody's span."""
        told_to = ListTracer()
        pod = Pod(redis_url)
        pod.decoding = SessionDecoder(
            pod.store, pod.recognizers, pod.metrics, Watchdog(5.0), 2, tracer=told_to
        )
        steps = [*SPOKEN, End(len(SPOKEN), "s1")]
        claim = opened(pod, steps)
        live = pod.decoding.restore(AGENT, claim.stored, ())
        pod.store.claim(AGENT)
        with pytest.raises(SessionMoved):
            pod.decoding.hear(live, steps)
        assert told_to.spans == []

    def test_decodes_are_limited(self, redis_url):
        """No more decodes run at once than the machine has cores."""
        running, most, guard = set(), [], threading.Lock()

        class Counting(fakes.HashRecognizer):
            def accept(self, samples):
                with guard:
                    running.add(threading.get_ident())
                    most.append(len(running))
                threading.Event().wait(0.01)
                with guard:
                    running.discard(threading.get_ident())
                return super().accept(samples)

        made = fakes.HashRecognizers()
        made.fresh = Counting
        pod = Pod(redis_url, recognizers=made)
        claim = opened(pod, SPOKEN[:2])
        lives = [pod.decoding.restore(AGENT, claim.stored, ()) for _ in range(5)]
        threads = [threading.Thread(target=pod.decoding.hear, args=(one, SPOKEN)) for one in lives]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(most) == 2


class TestRestore:
    """A tail is replayed."""

    def test_replay_is_the_original(self, pod):
        """A replayed tail gives the partial, the position and the edges of the lost one."""
        heard = [step for step in steps_of(conversation()) if not isinstance(step, End)]
        pod.store.claim(AGENT, START, rate_hz=8000)
        for step in heard:
            pod.take(AGENT, step)
        original = pod.sessions._live[AGENT]
        claim = pod.store.claim(AGENT)
        assert 0 < len(claim.tail) < len(heard)
        restored = pod.decoding.restore(AGENT, claim.stored, claim.tail)
        assert restored.partial == original.partial
        assert restored.session.next_position == original.session.next_position
        assert restored.session.checkpoint == original.session.checkpoint
        assert (restored.stream, restored.next_seq) == ("s1", len(heard))

    def test_uncommitted_edge_is_made_up(self, pod, redis_url):
        """An edge that the last owner did not live to commit is committed by the replay."""
        steps = [*SPOKEN, End(len(SPOKEN), "s1")]
        claim = opened(pod, steps)
        live = pod.decoding.restore(AGENT, claim.stored, claim.tail)
        assert live.ended
        assert told(redis_url, "final")
        assert pod.store.peek(AGENT).ended == "hangup"


class TestSkip:
    """A tail that kills decoders is skipped."""

    def test_tail_becomes_a_gap(self, pod, redis_url):
        """A skipped tail is told as undecodable, none of it is heard, audio goes on after it."""
        claim = opened(pod, SPOKEN)
        live = pod.decoding.skip(AGENT, claim.stored, claim.tail)
        assert pod.recognizers.made == 0
        assert told(redis_url, "gap") == [("linewatch.call.gap.v1", AGENT.source, "0-gap")]
        assert live.session.next_position == 16_000
        stored = pod.store.peek(AGENT)
        assert stored.checkpoint.first_sample == 16_000
        assert pod.store.claim(AGENT).tail == ()

    def test_end_in_it_ends(self, pod):
        """A skipped tail that holds the end ends the channel all the same."""
        claim = opened(pod, [*SPOKEN, End(len(SPOKEN), "s1")])
        assert pod.decoding.skip(AGENT, claim.stored, claim.tail).ended
        assert pod.store.peek(AGENT).ended == "hangup"

    def test_no_audio_no_gap(self, pod, redis_url):
        """Where nothing was heard since the last edge, nothing is told missing."""
        claim = opened(pod)
        pod.decoding.skip(AGENT, claim.stored, claim.tail)
        assert told(redis_url, "gap") == []
        assert pod.store.peek(AGENT).checkpoint.edges == 1

    def test_goes_on_after_it(self, pod):
        """The next chunk after a skipped tail is heard from its own first sample."""
        claim = opened(pod, SPOKEN)
        live = pod.decoding.skip(AGENT, claim.stored, claim.tail)
        step = chunk(8, 16_000)
        assert pod.store.commit(AGENT, claim.stored.epoch, step).next_seq == 9
        assert pod.decoding.hear(live, [step]).edges == 0
        assert live.session.next_position == 18_000
