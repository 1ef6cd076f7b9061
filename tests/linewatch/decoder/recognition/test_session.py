"""The fold of a channel's steps, on hash-chain recognizers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch.calls import ChannelKey, Codec, End, Gap, GapReason
from linewatch.decoder.recognition.lengths import PRE_ROLL_MS
from linewatch.decoder.recognition.session import Checkpoint, Session
from tests.support import fakes

AGENT = ChannelKey.of("default", "c1", "agent")
MIXED = ChannelKey.of("default", "c1", "mixed")
STARTED_AT_MS = 1_700_000_000_000
START = Checkpoint()


def new_session(key=AGENT, rate_hz=8000, checkpoint=START, **recognizers):
    """Make a session on hash recognizers."""
    made = fakes.HashRecognizers(**recognizers)
    return Session(key, STARTED_AT_MS, rate_hz, made, checkpoint)


def told(edges):
    """Everything of *edges* that must not depend on how audio was cut into chunks."""
    return [(edge.checkpoint, edge.utterance, edge.missing, edge.ended) for edge in edges]


def fold(steps, key=AGENT, rate_hz=8000):
    """Accept *steps* and return all edges."""
    session = new_session(key, rate_hz)
    return [edge for step in steps for edge in session.accept(step)]


def conversation(rate_hz=8000):
    """Return 20 s with pauses short and long, one end to end with speech."""
    parts = (
        fakes.silence(0.7, rate_hz),
        fakes.speech(2.3, rate_hz, 1),
        fakes.silence(0.4, rate_hz),
        fakes.speech(1.1, rate_hz, 2),
        fakes.silence(6.2, rate_hz),
        fakes.noise(1.5, rate_hz, 400),
        fakes.speech(4.9, rate_hz, 3),
        fakes.silence(1.3, rate_hz),
    )
    return np.concatenate(parts)


def utterances(edges):
    """The utterances among *edges*."""
    return [edge.utterance for edge in edges if edge.utterance]


class TestChunking:
    """How audio is cut changes nothing."""

    @pytest.mark.parametrize("key", [AGENT, MIXED])
    @pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_100])
    def test_chunk_size_changes_nothing(self, key, rate_hz):
        """20 ms, 100 ms, 250 ms and 1 s chunks pass the same edges with the same words."""
        sound = conversation(rate_hz)
        runs = [
            told(fold(fakes.chunks(sound, ms, rate_hz, codec=Codec.S16LE), key, rate_hz))
            for ms in (20, 100, 250, 1000)
        ]
        assert runs[0]
        assert runs[1:] == runs[:1] * 3

    @settings(max_examples=15, deadline=None)
    @given(cuts=st.lists(st.integers(0, 64_000), max_size=30))
    def test_any_cuts_change_nothing(self, cuts):
        """Chunks cut anywhere, empty ones too, pass the same edges."""
        sound = conversation()[:64_000]
        borders = [0, *sorted(cuts), len(sound)]
        steps = [
            fakes.chunks(sound[a:b], 10_000, position=a, seq=n)[0]
            if b > a
            else replace(fakes.chunks(sound[:8])[0], audio=b"", position=a)
            for n, (a, b) in enumerate(pairwise(borders))
        ]
        assert told(fold(steps)) == told(fold(fakes.chunks(sound)))


class Journal:
    """What a store keeps of a session: the checkpoint and the tail."""

    def __init__(self, key=AGENT, rate_hz=8000):
        self.key, self.rate_hz = key, rate_hz
        self.checkpoint, self.tail, self.edges = Checkpoint(), [], []

    def put(self, session, step):
        """Append *step*, accept it, commit each edge."""
        self.tail.append(step)
        self.commit(session.accept(step))

    def commit(self, edges):
        """Move on over *edges*."""
        for edge in edges:
            self.edges.append(edge)
            self.checkpoint = edge.checkpoint
            del self.tail[: edge.drop]

    def restored(self):
        """Make a session from the checkpoint and replay the tail; it must pass no new edge."""
        session = new_session(self.key, self.rate_hz, self.checkpoint)
        for step in self.tail:
            assert session.accept(step) == []
        return session


class TestRestore:
    """A restored session goes on as if nothing had happened."""

    @pytest.mark.parametrize("key", [AGENT, MIXED])
    @pytest.mark.parametrize(("rate_hz", "chunk_ms"), [(8000, 250), (8000, 70), (11_025, 1000)])
    def test_amnesia_after_every_step(self, key, rate_hz, chunk_ms):
        """A session restored before every single chunk passes the edges of an undisturbed one."""
        steps = fakes.chunks(conversation(rate_hz), chunk_ms, rate_hz)
        journal = Journal(key, rate_hz)
        for step in steps:
            journal.put(journal.restored(), step)
        assert told(journal.edges) == told(fold(steps, key, rate_hz))

    def test_restore_between_two_commits(self):
        """When only the first edge of a chunk was committed, the replay passes the second."""
        steps = fakes.chunks(conversation(), 8000)
        journal = Journal()
        wanted = []
        for step in steps:
            session = journal.restored()
            journal.tail.append(step)
            edges = session.accept(step)
            wanted += told(edges)
            while edges:
                journal.commit(edges[:1])
                session = new_session(checkpoint=journal.checkpoint)
                edges = [edge for kept in journal.tail for edge in session.accept(kept)]
        assert told(journal.edges) == wanted == told(fold(steps))
        assert len(wanted) > len(steps)

    @pytest.mark.parametrize("chunk_ms", [20, 250, 3000])
    def test_partial_is_restored(self, chunk_ms):
        """A restored session shows the same partial and expects the same position."""
        journal, session = Journal(), new_session()
        for step in fakes.chunks(conversation()[:40_000], chunk_ms):
            journal.put(session, step)
            restored = journal.restored()
            assert restored.partial == session.partial
            assert restored.next_position == session.next_position

    def test_dropped_steps_are_needless(self):
        """Every step left in the tail ends after the first sample, every dropped one before."""
        journal, session = Journal(), new_session()
        for step in fakes.chunks(conversation()):
            before = [*journal.tail, step]
            journal.put(session, step)
            first = journal.checkpoint.first_sample
            assert [each for each in before if each.end_position > first] == journal.tail


class TestOverlap:
    """Samples that were heard already."""

    @settings(max_examples=12, deadline=None)
    @given(back=st.lists(st.integers(0, 8000), min_size=80, max_size=80))
    def test_heard_samples_are_cut(self, back):
        """Chunks that repeat up to a second pass the edges of chunks that do not."""
        sound, journal = conversation(), Journal()
        steps = fakes.chunks(sound)
        for step, overlap in zip(steps, back, strict=False):
            begin = max(0, step.position - overlap)
            audio = fakes.encoded(sound[begin : step.end_position], Codec.PCMU)
            journal.put(journal.restored(), replace(step, position=begin, audio=audio))
        assert told(journal.edges) == told(fold(steps))

    def test_known_chunk_adds_nothing(self):
        """A chunk of samples that were all heard changes nothing, and none is left to drop."""
        session, steps = new_session(), fakes.chunks(fakes.speech(1))
        for step in steps:
            session.accept(step)
        assert session.accept(replace(steps[1], seq=4)) == []
        (edge,) = session.accept(End(5, "s1"))
        assert edge.drop == len(steps) + 1
        assert edge.checkpoint.first_sample == 8000


SOUNDS = {
    "speech": fakes.speech,
    "silence": fakes.silence,
    "noise": fakes.noise,
    "hiss": lambda s, r: fakes.noise(s, r, 30),
    "tone": fakes.tone,
    "music": fakes.hold_music,
    "late speech": lambda s, r: np.concatenate((fakes.silence(4.5, r), fakes.speech(s, r))),
}


# 40 s of each: nothing ends by itself, so the longest tail comes within the first 26 s.
class TestTail:
    """How much is kept for a restore."""

    @pytest.mark.parametrize("sound", SOUNDS)
    @pytest.mark.parametrize(("rate_hz", "key"), [
        (8000, AGENT), (8000, MIXED), (11_025, AGENT), (16_000, AGENT), (44_100, MIXED),
    ])  # fmt: skip
    def test_never_above_21_s(self, sound, rate_hz, key):
        """Whatever is heard, even if the recognizer never ends, the tail stays within 21 s."""
        session = new_session(key, rate_hz, endpoints=False)
        longest, heard = 0, np.resize(SOUNDS[sound](9, rate_hz), 40 * rate_hz)
        for step in fakes.chunks(heard, 500, rate_hz, codec=Codec.S16LE):
            session.accept(step)
            longest = max(longest, session.next_position - session.checkpoint.first_sample)
        assert 0 < longest <= 21 * rate_hz

    @pytest.mark.parametrize(("sound", "most_s"), [("silence", 5.6), ("music", 21)])
    def test_ten_minutes_on_hold(self, sound, most_s):
        """Ten minutes of silence keep 5.6 s at most, of hold music 21 s."""
        session = new_session(endpoints=False)
        for step in fakes.chunks(np.resize(SOUNDS[sound](10, 8000), 600 * 8000), 1000):
            session.accept(step)
            kept = session.next_position - session.checkpoint.first_sample
            assert kept <= most_s * 8000
        assert session.next_position == 600 * 8000

    def test_silence_needs_no_recognizer(self):
        """A minute of silence passes an edge every 5 s and makes no recognizer."""
        made = fakes.HashRecognizers()
        session = Session(AGENT, STARTED_AT_MS, 8000, made)
        edges = [edge for step in fakes.chunks(fakes.silence(60)) for edge in session.accept(step)]
        assert made.made == 0
        assert [edge.checkpoint.edge_sample for edge in edges] == [
            number * 166 * 240 for number in range(1, 13)
        ]

    def test_forgets_what_it_heard(self):
        """The samples a session holds stay within a second or two, not the whole tail."""
        session = new_session(endpoints=False)
        for step in fakes.chunks(fakes.speech(30)):
            session.accept(step)
            assert len(session._heard._samples) <= 8000


class TestUtterances:
    """What an utterance tells."""

    def test_utterances_follow_speech(self):
        """Speech becomes utterances that lie where it was; silence becomes none."""
        sound = np.concatenate((fakes.silence(2), fakes.speech(1.5), fakes.silence(2)))
        said = utterances(fold(fakes.chunks(sound)))
        assert 1700 <= said[0].start_ms <= 2300
        assert 3000 <= said[-1].end_ms <= 4200
        assert all(each.text for each in said)

    def test_pre_roll_comes_before_opening(self):
        """The utterance begins before the first sample of speech, but never 300 ms before."""
        sound = np.concatenate((fakes.silence(2), fakes.speech(1.5)))
        said = utterances(fold([*fakes.chunks(sound), End(9, "s1")]))
        assert 16_000 - PRE_ROLL_MS * 8 <= said[0].first_sample <= 16_000

    def test_no_two_overlap(self):
        """Utterances are numbered in order and share no sample."""
        said = utterances(fold([*fakes.chunks(conversation()), End(9, "s1")]))
        assert [each.index for each in said] == list(range(len(said)))
        assert len(said) > 2
        for earlier, later in pairwise(said):
            assert earlier.first_sample < later.first_sample
            assert earlier.end_ms <= later.start_ms

    def test_words_have_call_times(self):
        """A word's times count from the call's first sample, the utterance's from its words."""
        said = utterances(fold(fakes.chunks(conversation())))[-1]
        assert said.words[0].start_ms == said.start_ms >= said.first_sample / 8
        assert said.words[-1].end_ms == said.end_ms
        assert said.text == " ".join(word.text for word in said.words)

    def test_utterance_names_its_origin(self):
        """Key, start of the call and the recognizers' digest stand in the utterance."""
        session = new_session(digest="d1")
        edges = [e for step in fakes.chunks(conversation()) for e in session.accept(step)]
        said = utterances(edges)[0]
        assert (said.key, said.started_at_ms, said.digest) == (AGENT, STARTED_AT_MS, "d1")

    def test_mixed_has_no_gate(self):
        """A mixed channel is heard from the first sample on, quiet or not."""
        session = new_session(MIXED)
        session.accept(fakes.chunks(fakes.noise(0.3, level=700))[0])
        assert session.partial
        assert new_session(AGENT).partial == ""

    def test_recognizer_only_when_needed(self):
        """A recognizer is made for each utterance and for nothing else."""
        made = fakes.HashRecognizers()
        session = Session(AGENT, STARTED_AT_MS, 8000, made)
        edges = [e for step in fakes.chunks(conversation()) for e in session.accept(step)]
        assert made.made <= len(utterances(edges)) + 1


class TestGap:
    """Stretches that were not heard."""

    def test_gap_flushes_and_goes_on(self):
        """A gap ends the utterance, is told with its times, and audio goes on after it."""
        session = new_session()
        heard = fakes.chunks(fakes.speech(1))
        for step in heard:
            session.accept(step)
        (edge,) = session.accept(Gap(4, 6, 12_000, "s1", GapReason.DISCARDED))
        assert edge.utterance
        assert (edge.missing.first_sample, edge.missing.start_ms, edge.missing.end_ms) == (
            8000, 1000, 1500,
        )  # fmt: skip
        assert edge.missing.reason is GapReason.DISCARDED
        assert edge.drop == 4 + 1
        assert session.next_position == edge.checkpoint.first_sample == 12_000

    def test_empty_gap_only_flushes(self):
        """A gap of no length ends the utterance and tells nothing missing."""
        session = new_session()
        for step in fakes.chunks(fakes.speech(1)):
            session.accept(step)
        (edge,) = session.accept(Gap(4, 4, 8000, "s1", GapReason.PAUSED))
        assert edge.utterance
        assert edge.missing is None

    def test_missing_position_is_lost(self):
        """A chunk that comes too late in position makes a gap of what lies between."""
        session = new_session()
        sound = fakes.speech(2)
        session.accept(fakes.chunks(sound[:4000], 500)[0])
        edges = session.accept(fakes.chunks(sound[8000:], 1000, seq=1, position=8000)[0])
        assert (edges[0].missing.start_ms, edges[0].missing.end_ms) == (500, 1000)
        assert edges[0].missing.reason is GapReason.LOST
        assert edges[0].drop == 1
        assert session.next_position == 16_000

    def test_gap_backwards_is_a_flush(self):
        """A gap that claims a position already heard moves nothing back."""
        session = new_session()
        session.accept(fakes.chunks(fakes.speech(1), 1000)[0])
        (edge,) = session.accept(Gap(1, 2, 10, "s1", GapReason.LOST))
        assert edge.missing is None
        assert session.next_position == 8000

    @settings(max_examples=12, deadline=None)
    @given(at=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 9000)), max_size=5))
    def test_gaps_restore_equal(self, at):
        """With gaps anywhere, amnesia before every step still passes equal edges."""
        sound, steps, position = conversation(), [], 0
        gaps = dict(at)
        for number, begin in enumerate(range(0, 64_000, 4000)):
            steps += fakes.chunks(sound[begin : begin + 4000], 500, seq=number, position=position)
            position += 4000
            if number in gaps:
                position += gaps[number]
                if gaps[number] % 2:
                    steps.append(Gap(number, number + 1, position, "s1", GapReason.OVERRUN))
        steps.append(End(99, "s1"))
        journal = Journal()
        for step in steps:
            journal.put(journal.restored(), step)
        assert told(journal.edges) == told(fold(steps))
        assert journal.tail == []


class TestEnd:
    """The last step, and steps that are refused."""

    def test_end_flushes_and_empties(self):
        """The end ends the utterance and drops the whole tail, itself too."""
        session = new_session()
        for step in fakes.chunks(fakes.speech(1.1), 1100):
            before = session.accept(step)
        (edge,) = session.accept(End(5, "s1"))
        assert edge.ended
        assert edge.utterance.end_ms >= 1000
        assert sum(each.drop for each in before) + edge.drop == 1 + 1

    def test_nothing_follows_the_end(self):
        """Steps after the end pass no edge."""
        session = new_session()
        assert session.accept(End(0, "s1"))[0].ended
        assert session.accept(fakes.chunks(fakes.speech(1))[0]) == []

    def test_nobody_speaks_on_past_a_park(self):
        """A park ends the utterance: what follows begins another, and needs no earlier step."""
        session = new_session()
        for chunk in fakes.chunks(fakes.speech(1)):
            session.accept(chunk)
        edge = session.park()
        assert edge.utterance
        assert (edge.drop, edge.checkpoint.first_sample) == (4, 8000)
