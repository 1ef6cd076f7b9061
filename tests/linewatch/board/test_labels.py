"""Who has a call now, and who had it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.labels import Labels, kept, labels_of
from tests.support.board_facts import CALL, start, update

_UPDATES = st.builds(
    update,
    st.integers(0, 40),
    agent=st.sampled_from(["", "Ana", "Bob", "Cleo"]),
    queue=st.sampled_from(["", "tech", "sales"]),
)


def _shown(*updates, began=None):
    return labels_of(CALL, began, updates)


def test_last_word_counts():
    """Of each field the last word by the sender's time counts, the start's among them."""
    updates = [update(60_000, agent="Bob"), update(30_000, agent="Cleo", queue="tech")]
    assert _shown(*updates, began=start(agent="Ann")) == Labels(
        "line-7", "Bob", "tech", ("Cleo", "Ann")
    )


def test_later_moment_beats_later_arrival():
    """A word of before the start is older than the start's."""
    assert _shown(update(-1, agent="Zoe"), began=start(agent="Ann")).agent == "Ann"


def test_value_decides_a_tie():
    """Of two words of one moment the greater text counts, whichever came first."""
    words = [update(5, agent="Bob"), update(5, agent="Ann")]
    assert _shown(*words) == _shown(*reversed(words))
    assert _shown(*words).agent == "Bob"


def test_empty_says_nothing():
    """An update that leaves a field out does not take it away."""
    assert _shown(update(5, queue="tech"), began=start(agent="Ann")).agent == "Ann"


def test_call_is_its_own_line():
    """A start that audio made names its call as the line, which any other word beats."""
    began = start(line=CALL, agent="", queue="")
    assert _shown(began=began).line == _shown().line == CALL
    assert _shown(update(-5000, line="Sales 1"), began=began).line == "Sales 1"


def test_who_returns_was_not_before():
    """Who has the call again does not stand among those who had it."""
    words = [update(n, agent=name) for n, name in enumerate(("Ann", "Bob", "Ann"))]
    assert (_shown(*words).agent, _shown(*words).agents_before) == ("Ann", ("Bob",))


@given(st.lists(_UPDATES, max_size=60), st.randoms())
def test_order_plays_no_part(updates, chance):
    """Few of many updates are kept, the same ones in any order, and they show the same."""
    one_by_one = ()
    for each in chance.sample(updates, len(updates)):
        one_by_one = kept([*one_by_one, each])
    assert one_by_one == kept(updates)
    assert len(one_by_one) <= 24
    assert _shown(*one_by_one).agent == _shown(*updates).agent
