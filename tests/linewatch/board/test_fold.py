"""The fold of a call tells what the whole set tells, and looks at a bounded part of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewatch.board import fold
from tests.support.board_facts import (
    AGENT,
    CUSTOMER,
    MIXED,
    calls,
    end,
    gap,
    score,
    start,
    tales,
    tellings,
)
from tests.support.board_fold import Folded, folded, long_calls, odd_stories
from tests.support.board_oracle import board_of

TAILS = st.sampled_from([0, 1, 3, fold.TAIL])


ANY_TAIL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(name="tail")
def _tail(monkeypatch):
    """Set how much stays in the tail, until the end of the test."""
    return lambda length: monkeypatch.setattr(fold, "TAIL", length)


@settings(ANY_TAIL, max_examples=400)
@given(odd_stories(), TAILS)
def test_every_step_is_the_whole_set(tail, story, length):
    """After each fact, row and alerts are those of the whole set, however odd the facts are."""
    tail(length)
    facts, shown = story
    call = Folded(shown)
    for count, fact in enumerate(facts, 1):
        assert call.put(fact) == board_of(facts[:count], shown)


@ANY_TAIL
@given(tellings(), TAILS)
def test_order_plays_no_part(tail, telling, length):
    """Shuffled and repeated facts give the same row and alerts, which are the whole set's."""
    tail(length)
    in_order, shuffled = telling
    assert folded(*shuffled) == folded(*in_order) == board_of(in_order)


@ANY_TAIL
@given(tales(), TAILS)
def test_scorers_in_any_order(tail, tale, length):
    """So do the scores of several consumers and versions."""
    tail(length)
    in_order, shuffled, shown = tale
    expected = board_of(in_order, shown)
    assert folded(*shuffled, shown=shown) == folded(*in_order, shown=shown) == expected


@ANY_TAIL
@given(long_calls(), TAILS)
def test_long_calls_are_the_whole_set(tail, facts, length):
    """A call longer than its tail, with late and corrected utterances, is that of the whole set."""
    tail(length)
    call = Folded()
    for count, fact in enumerate(facts, 1):
        assert call.put(fact) == board_of(facts[:count])


def _spoken(count):
    """A call of *count* utterances in turns, in order."""
    sides = [AGENT, CUSTOMER]
    return [
        score(i // 2, -0.1, channel=sides[i % 2], at_ms=i * 4000, text="my bill is wrong again")
        for i in range(count)
    ]


def test_in_order_is_folded_once():
    """A long call told in order is never folded anew, and its fold stays small."""
    call, sizes = Folded(), []
    for said in _spoken(300):
        call.put(said)
        sizes.append(len(call.fields["fold"]))
    assert call.anew == 0
    assert max(sizes) < 1.1 * max(sizes[:50])


def test_late_within_the_tail():
    """A turn that comes late by less than the tail is put in its place at the cost of any other."""
    told = _spoken(60)
    late = told.pop(60 - fold.TAIL)
    call = Folded()
    assert call.put_all([*told, late]) == board_of([*told, late])
    assert call.anew == 0


@pytest.mark.parametrize(
    "late",
    [
        score(0, -0.9, "a manager", channel=AGENT, at_ms=100),
        score(0, -0.9, "a manager", channel=AGENT, at_ms=0, scorer_version=2),
        gap(2100, 3500),
        score(0, channel=MIXED, at_ms=900_000),
        score(99, at_ms=900_000, started_at_ms=5),
    ],
    ids=["turn", "correction", "gap", "channel", "begin"],
)
def test_settled_is_folded_anew(late):
    """What changes what is settled makes the fold anew: of everything, and right."""
    told = _spoken(60)
    call = Folded()
    assert call.put_all([*told, late]) == board_of([*told, late])
    assert call.anew == (late.started_at_ms != 5)


def test_unseen_score_costs_nothing():
    """A score of long ago that is not shown, as of an older version, is no reason to fold anew."""
    told, call = _spoken(60), Folded()
    before = call.put_all(told)
    for each in told:
        assert call.put(_older(each)) == before
    assert call.anew == 0


def _older(said):
    return score(
        said.index,
        0.9,
        channel=said.key.channel,
        at_ms=said.start_ms,
        scorer_version=0,
        text=said.text,
    )


def _torn(count):
    """A call that begins with 20 s of silence, and a gap of 250 ms after each utterance."""
    begins = [20_000 + i * 4000 for i in range(count)]
    said = [score(i, at_ms=begin_ms, channel=MIXED) for i, begin_ms in enumerate(begins)]
    return said, [gap(begin_ms + 2500, begin_ms + 2750, MIXED) for begin_ms in begins]


@pytest.mark.parametrize("is_ahead", [True, False])
def test_gaps_may_run_ahead(is_ahead):
    """Gaps told long before or long after the words around them cost what other events cost."""
    said, torn = _torn(100)
    told = [*torn, *said] if is_ahead else [*said, *torn]
    call = Folded()
    assert call.put_all(told) == board_of(told)
    assert call.anew == 0


def test_late_gap_in_silence():
    """A gap told after the tail has passed the silence it lies in makes the fold anew, once."""
    said = [score(0, at_ms=0, channel=MIXED)]
    said += [score(1 + i, at_ms=60_000 + i * 3000, channel=MIXED) for i in range(60)]
    late = [gap(20_000 + i * 20, 20_010 + i * 20, MIXED) for i in range(5)]
    call = Folded()
    for count, fact in enumerate([*said, *late], 1):
        assert call.put(fact) == board_of([*said, *late][:count])
    assert 0 < call.anew <= len(late)


def test_edges_cost_nothing():
    """Start, end and what is told again never make the fold anew."""
    told = [*_spoken(60), start(), end(240_000, 60)]
    call = Folded()
    assert call.put_all([*told, *told]) == board_of(told)
    assert call.anew == 0


@given(calls())
def test_fold_survives_writing(facts):
    """A fold that is written and read is the same fold, to the byte."""
    call = Folded()
    call.put_all(facts)
    text = call.fields["fold"]
    assert fold.dumps(fold.loads(text, call.terms), call.terms) == text


def test_other_terms_are_not_trusted():
    """A fold by other rules, other consumers or older code is not gone on with."""
    call = Folded()
    call.put_all(_spoken(3))
    text = call.fields["fold"]
    assert fold.loads(text, call.terms)
    others = [Folded(alert_rules=call.terms.rules[1:]), Folded(shown=fold.Shown(("a",)))]
    assert [fold.loads(text, other.terms) for other in others] == [None, None]
    old = json.dumps({**json.loads(text), "terms": call.terms.name.replace("2", "1", 1)})
    assert fold.loads(old, call.terms) is None
