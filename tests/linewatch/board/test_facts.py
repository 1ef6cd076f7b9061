"""A call's facts are a set."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given

from linewatch.board.facts import CallFacts, channels_of
from linewatch.board.scores import Shown
from linewatch.calls import Channel
from tests.support.board_facts import AGENT, CUSTOMER, MIXED, end, resumed, score, tellings


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
        known = CallFacts.of(told)
        assert (known.scores, known.others) == ((theirs,), (ours,))
        chosen = CallFacts.of(told, Shown(("sentiment",)))
        assert (chosen.scores, chosen.others) == ((ours,), (theirs,))


@pytest.mark.parametrize(("told", "stands"), [
    ([end()], 0), ([resumed()], None), ([end(), resumed()], None),
    ([end(), resumed(), end(generation=1)], 1), ([end(), end(generation=1)], 1),
    ([end(), resumed(), end(generation=1), resumed(2)], None),
])  # fmt: skip
def test_call_lives_until_its_last_end(told, stands):
    """A call lives unless an end is known of the generation in which it came back last."""
    for order in permutations(told):
        found = CallFacts.of([*order, *order]).end
        assert (found and found.generation) == stands


def test_nothing_is_no_call():
    """Without any fact there is no call to speak of."""
    with pytest.raises(ValueError, match="nothing is known"):
        CallFacts.of([])


def test_mono_has_one_channel():
    """A call heard on the mixed channel has no agent and no customer to wait for."""
    assert channels_of({MIXED}) == {MIXED}
    assert channels_of({AGENT}) == channels_of(()) == {AGENT, CUSTOMER}


def test_further_parties_are_waited_for():
    """Whoever else is heard has a channel of the call, beside agent and customer."""
    ivr = Channel("ivr")
    assert channels_of({ivr}) == {AGENT, CUSTOMER, ivr}
    assert channels_of({ivr, MIXED}) == {MIXED, ivr}
