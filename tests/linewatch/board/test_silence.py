"""Silence is what is certain to be one; `tests.linewatch.board.test_fold` holds it to the book."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.silence import NONE, Quiet, Stretch
from linewatch.calls import Evidence, Missing, Score
from tests.support.board_facts import AGENT, MIXED, calls, end, gap, score
from tests.support.board_fold import Folded


def _silences(facts):
    call = Folded()
    call.put_all(facts)
    return call.state.silences


def _mono(*facts):
    return [(each.start_ms, each.end_ms) for each in _silences(facts).rising]


def _said(index, at_ms):
    return score(index, channel=MIXED, at_ms=at_ms)


def test_silence_lies_between():
    """From one utterance's end to the next one's start, and before the first, nobody spoke."""
    assert _mono(_said(0, 1000), _said(1, 50_000)) == [(0, 1000), (3000, 50_000)]


def test_missing_index_is_speech():
    """Where an utterance is still on its way nothing is silent for certain."""
    assert _mono(_said(0, 0), _said(2, 50_000)) == []
    assert _mono(_said(1, 50_000)) == []


def test_both_must_be_silent():
    """While one channel speaks, or may be speaking for all that is known, there is no silence."""
    customer = [score(0, at_ms=0), score(1, at_ms=60_000)]
    assert _mono(*customer) == []
    agent = [score(0, channel=AGENT, at_ms=10_000), score(1, channel=AGENT, at_ms=70_000)]
    assert _mono(*customer, *agent) == [(2000, 10_000), (12_000, 60_000)]


def test_gap_is_no_silence():
    """What was not heard is cut out of the silence around it."""
    told = [_said(0, 0), _said(1, 50_000), gap(10_000, 20_000, MIXED)]
    assert _mono(*told) == [(2000, 10_000), (20_000, 50_000)]


def test_end_closes_last_silence():
    """The silence before the end counts once everything counted at the end is known."""
    assert _mono(_said(0, 0), end(40_000, utterances=2)) == []
    assert _mono(_said(0, 0), end(40_000, utterances=1)) == [(2000, 40_000)]


def test_silent_call_is_silence():
    """A call that ended without a word was silent throughout."""
    assert _mono(end(40_000)) == [(0, 40_000)]


def test_no_silence_lasts_nothing():
    """Without silences the longest lasts 0 ms."""
    assert (NONE.longest_ms, NONE.rising) == (0, ())


def test_rising_keeps_the_first():
    """Of silences as long by the second the first is kept, and the longest to the millisecond."""
    found = NONE
    for start_ms, length_ms in ((0, 999), (2000, 3100), (8000, 3900), (20_000, 4000)):
        found = found.then(Stretch(start_ms, start_ms + length_ms))
    assert found.longest_ms == 4000
    assert [each.start_ms for each in found.rising] == [2000, 20_000]


@given(st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=12))
def test_joined_is_one_list(lengths):
    """Silences kept in two lists and joined are those of one list."""
    whole, parts, at_ms = NONE, [NONE, NONE], 0
    for length_ms, other in lengths:
        stretch = Stretch(at_ms, at_ms + length_ms)
        whole, parts[other] = whole.then(stretch), parts[other].then(stretch)
        at_ms = stretch.end_ms + 1
    assert parts[0].joined(parts[1]) == parts[1].joined(parts[0]) == whole


def test_rising_stays_short():
    """However the silences of half an hour rise, 60 of them are kept at the most."""
    found, at_ms = NONE, 0
    for length_s in range(1, 1800):
        stretch = Stretch(at_ms, at_ms + length_s * 1000)
        at_ms = stretch.end_ms
        if at_ms > 1_800_000:
            break
        found = found.then(stretch)
    assert len(found.rising) == 59


def test_silence_names_what_was_said_before():
    """A silence knows the last utterance before it, on whichever channel."""
    told = [score(0), score(0, channel=AGENT, at_ms=3000), score(1), score(1, channel=AGENT)]
    (*_, longest) = _silences(told).rising
    assert (longest.start_ms, longest.before) == (5000, Evidence(AGENT, 48_000))


def test_quiet_survives_writing():
    """What is known of silence is written and read back equal, with what still waits."""
    call = Folded()
    call.put_all([score(0), score(2, at_ms=50_000), score(0, channel=AGENT, at_ms=60_000)])
    quiet = call.state.totals.quiet
    assert len(quiet.found) > 1
    assert Quiet.unpacked(quiet.packed()) == quiet


@given(calls(), st.data())
def test_knowing_more_adds_silence(facts, data):
    """A score that comes late never takes a silence back."""
    scores = [each for each in facts if isinstance(each, Score)]
    if not scores:
        return
    late = data.draw(st.sampled_from(scores))
    rest = [each for each in facts if each is not late]
    if rest:
        assert _silences(rest).longest_ms <= _silences(facts).longest_ms


@given(calls())
def test_nobody_speaks_in_silence(facts):
    """No known utterance and no gap overlaps a silence."""
    for stretch in _silences(facts).rising:
        for each in (fact for fact in facts if isinstance(fact, Score | Missing)):
            assert each.end_ms <= stretch.start_ms or stretch.end_ms <= each.start_ms
