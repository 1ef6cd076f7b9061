"""A call's facts are a set."""

from __future__ import annotations

import pytest
from hypothesis import given

from linewatch.board.facts import CallFacts
from linewatch.board.scores import Shown
from tests.board_facts import (
    AGENT,
    CUSTOMER,
    MIXED,
    STARTED_AT_MS,
    end,
    gap,
    score,
    start,
    tellings,
)


@given(tellings())
def test_order_plays_no_part(telling):
    """Shuffled and repeated facts are the same facts."""
    in_order, shuffled = telling
    assert CallFacts.of(shuffled) == CallFacts.of(in_order)


@pytest.mark.parametrize("values", [(0.1, 0.2), (-0.9, -0.6), (-0.6, 0.4), (1e-7, 0.5)])
def test_greater_telling_stands(values):
    """Of two tellings by one version of one consumer the greater number stands, not text."""
    one, other = (score(0, each) for each in values)
    for told in ([one, other], [other, one], [one, other, one]):
        known = CallFacts.of(told)
        assert (known.scores, known.others) == ((other,), ())


def test_utterance_counts_once():
    """Of two consumers' scores of one utterance one is shown, the other is kept beside it."""
    ours, theirs = score(0, -0.6), score(0, 0.4, consumer="notebook")
    for told in ([ours, theirs], [theirs, ours]):
        known = CallFacts.of([*told, end(utterances=2)])
        assert (known.scores, known.others) == ((theirs,), (ours,))
        assert not known.is_complete
        chosen = CallFacts.of(told, Shown(("sentiment",)))
        assert (chosen.scores, chosen.others) == ((ours,), (theirs,))


def test_hidden_score_dates_the_call():
    """A call of which only scores are known that nobody is shown began when they say."""
    known = CallFacts.of([score(0, consumer="canary")], Shown(("sentiment",)))
    assert (known.scores, known.started_at_ms) == ((), STARTED_AT_MS)


def test_nothing_is_no_call():
    """Without any fact there is no call to speak of."""
    with pytest.raises(ValueError, match="nothing is known"):
        CallFacts.of([])


def test_start_beats_audio():
    """The announced start counts; without it the earliest that the events tell."""
    late = score(0, started_at_ms=STARTED_AT_MS + 5)
    assert CallFacts.of([late, start()]).started_at_ms == STARTED_AT_MS
    assert CallFacts.of([late]).started_at_ms == STARTED_AT_MS + 5
    assert CallFacts.of([late, end()]).started_at_ms == STARTED_AT_MS


def test_complete_needs_everything():
    """A call is complete when it ended and every utterance and gap counted is known."""
    told = [score(0), gap(0, 5)]
    assert not CallFacts.of(told).is_complete
    assert not CallFacts.of([*told, end(utterances=2, gaps=1)]).is_complete
    assert not CallFacts.of([*told, end(utterances=1, gaps=2)]).is_complete
    assert CallFacts.of([*told, end(utterances=1, gaps=1)]).is_complete


def test_mono_has_one_channel():
    """A call heard on the mixed channel has no agent and no customer to wait for."""
    assert CallFacts.of([score(0, channel=MIXED)]).channels == {MIXED}
    assert CallFacts.of([score(0, channel=AGENT)]).channels == {AGENT, CUSTOMER}


def test_length_needs_end():
    """A call has no length while it goes on, and never a negative one."""
    assert CallFacts.of([start()]).length_ms is None
    assert CallFacts.of([end(7)]).length_ms == 7
    assert CallFacts.of([start(), end(-9)]).length_ms == 0
