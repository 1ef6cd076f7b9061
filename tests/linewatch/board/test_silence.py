"""Silence is what is certain to be one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.facts import CallFacts
from linewatch.board.silence import Stretch, longest_ms, silences
from linewatch.calls import Score
from tests.board_facts import AGENT, MIXED, calls, end, gap, score


def _mono(*facts):
    return silences(CallFacts.of(facts))


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


def test_longest_of_none():
    """Without silences the longest lasts 0 ms."""
    assert longest_ms([]) == 0
    assert longest_ms([Stretch(0, 5), Stretch(9, 20)]) == 11


@given(calls(), st.data())
def test_knowing_more_adds_silence(facts, data):
    """A score that comes late never takes a silence back."""
    scores = [each for each in facts if isinstance(each, Score)]
    if not scores:
        return
    late = data.draw(st.sampled_from(scores))
    rest = [each for each in facts if each is not late]
    before = silences(CallFacts.of(rest)) if rest else []
    after = silences(CallFacts.of(facts))
    for stretch in before:
        assert any(
            each.start_ms <= stretch.start_ms and stretch.end_ms <= each.end_ms for each in after
        )


@given(calls())
def test_nobody_speaks_in_silence(facts):
    """No known utterance and no gap overlaps a silence."""
    known = CallFacts.of(facts)
    for stretch in silences(known):
        for each in (*known.scores, *known.gaps):
            assert each.end_ms <= stretch.start_ms or stretch.end_ms <= each.start_ms
