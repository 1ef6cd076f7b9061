"""Which of an utterance's scores is shown does not depend on the order in which they came."""

from __future__ import annotations

from itertools import permutations

import pytest

from linewatch.board.scores import Shown
from tests.support.board_facts import score

OURS = [score(0, consumer="sentiment", scorer_version=each) for each in (1, 2, 10)]
THEIRS = score(0, consumer="notebook", scorer_version=99)
CANARY = score(0, consumer="canary", scorer_version=1)


@pytest.mark.parametrize(
    ("consumers", "shown"),
    [
        ((), CANARY),
        (("sentiment",), OURS[2]),
        (("notebook", "sentiment"), THEIRS),
        (("sentiment", "notebook"), OURS[2]),
        (("nobody", "canary"), CANARY),
        (("nobody",), None),
    ],
)
def test_first_choice_is_shown(consumers, shown):
    """The list's first consumer that scored is shown, without a list the smallest name is."""
    for told in permutations([*OURS, THEIRS, CANARY]):
        assert Shown(consumers).choose(told) is shown


def test_newest_version_is_shown():
    """Versions are numbers: 10 is newer than 2, though its text is smaller."""
    assert Shown().choose(OURS).scorer_version == 10


def test_nothing_is_shown_of_nothing():
    """An utterance that nobody scored shows no score."""
    assert Shown().choose([]) is None
