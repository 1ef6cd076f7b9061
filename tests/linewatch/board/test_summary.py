"""A call's row says what a supervisor needs, worst first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.summary import help_score, rank
from linewatch.board.totals import TREND_POINTS
from linewatch.calls import Alert, Severity
from tests.support.board_facts import AGENT, CUSTOMER, MIXED, TENANT, calls, end, gap, score, start
from tests.support.board_fold import folded


def _row(*facts):
    return folded(*facts)[0]


def _alert(severity=Severity.WARNING, at_ms=0):
    return Alert(TENANT, "c", "r", severity, "why", at_ms, 0)


def test_neutral_score_is_kept():
    """A polarity of exactly 0 is a polarity, in the row and in the trend."""
    row = _row(score(0, 0.0))
    assert row.polarity == 0.0
    assert row.customer_trend == (0.0,)


def test_unscored_has_no_polarity():
    """A call in which nothing was scored yet has none, and needs no help."""
    row = _row(start())
    assert row.polarity is None
    assert (row.help_score, row.why, row.last_text) == (0.0, "", "")


def test_row_tells_last_words():
    """Words, quality, nouns and scorer are those of the utterance that ended last."""
    last = score(1, 0.7, "bye", channel=AGENT, nouns=("invoice",), consumer="notebook")
    row = _row(score(0, -0.5, "hello"), last, start())
    assert (row.last_text, row.polarity, row.last_channel) == ("bye", 0.7, AGENT)
    assert (row.nouns, row.consumer, row.last_end_ms) == (("invoice",), "notebook", 12_000)


def test_row_tells_who():
    """Line, agent and queue come from the start; until it is known the call's id stands in."""
    assert _row(score(0)).line == "call-1"
    row = _row(score(0), start())
    assert (row.line, row.agent, row.queue) == ("line-7", "Ana", "billing")


def test_speakers_are_told_apart():
    """Talk time and trend are kept by speaker."""
    row = _row(score(0, -0.5), score(1, 0.1), score(0, 0.9, channel=AGENT, at_ms=5000))
    assert row.talk_ms == {AGENT: 2000, CUSTOMER: 4000}
    assert (row.customer_trend, row.agent_trend) == ((-0.5, 0.1), (0.9,))


def test_mono_counts_as_customer():
    """A mono call's turns are followed as the customer's; there is no agent in it."""
    row = _row(score(0, -0.5, channel=MIXED))
    assert (row.customer_trend, row.agent_trend, row.talk_ms) == ((-0.5,), (), {MIXED: 2000})


def test_row_counts():
    """Utterances, gaps and the longest silence are counted."""
    row = _row(score(0), score(1), gap(2000, 3000), end(60_000, 2, 1))
    assert (row.utterances, row.gaps, row.longest_silence_ms) == (2, 1, 48_000)


def test_row_stays_small():
    """However long a call and an utterance are, the row is not."""
    row = _row(*(score(i, 0.1, "w" * 9000, nouns=("n",) * 99) for i in range(40)))
    assert len(row.customer_trend) == TREND_POINTS
    assert (len(row.last_text), len(row.nouns), row.utterances) == (400, 12, 40)


def test_alert_is_the_reason():
    """The worst alert says why; without one the mood does, if it is bad."""
    assert _row(score(0, 0.1, "my lawyer and a refund")).why == "spoke of a lawyer"
    assert _row(score(0, -0.6)).why == "customer unhappy"
    falling = [score(i, p) for i, p in enumerate((0.3, 0.3, 0.3, -0.2, -0.2, -0.2))]
    assert _row(*falling).why == "mood falling"
    assert _row(score(0, 0.3)).why == ""


def test_unhappy_ranks_higher():
    """The more negative the customer, the higher the score."""
    points = [help_score([mood], [], 0) for mood in (0.5, 0.0, -0.2, -0.5)]
    assert points == sorted(points)
    assert points[0] == 0.0


def test_recent_turns_weigh_most():
    """A call that went bad needs help more than one that recovered."""
    assert help_score([0.5, 0.5, -0.5], [], 0) > help_score([-0.5, 0.5, 0.5], [], 0)


def test_falling_mood_adds():
    """A customer who was happy a moment ago needs help more than one who never was."""
    assert help_score([0.6] * 3 + [-0.2] * 3, [], 0) > help_score([-0.1] * 6, [], 0)


def test_severity_adds():
    """Worse alerts weigh more, together at most 45 points, and fade as the call goes on."""
    points = [help_score([], [_alert(severity)], 0) for severity in Severity]
    assert points == [10.0, 20.0, 30.0]
    assert help_score([], [_alert()] * 9, 0) == 45.0
    assert help_score([], [_alert()], 180_000) == 10.0


def test_ended_ranks_below_live():
    """The worst ended call comes after the best live one."""
    angry = [score(i, -1.0, "lawyer") for i in range(6)]
    worst_ended, best_live = _row(*angry, end(utterances=6)), _row(score(0, 1.0))
    assert worst_ended.help_score > 90
    assert best_live.help_score == 0.0
    assert rank(worst_ended) < rank(best_live)


@given(calls())
def test_score_stays_in_range(facts):
    """Whatever is known, the help score is from 0 to 100."""
    assert 0.0 <= _row(*facts).help_score <= 100.0


@given(st.lists(st.floats(-1, 1), max_size=20), st.integers(-5, 10**9))
def test_any_mood_is_scored(mood, now_ms):
    """Any mood and any moment give a score from 0 to 100."""
    assert 0.0 <= help_score(mood, [_alert(Severity.CRITICAL, 7)], now_ms) <= 100.0


@pytest.mark.parametrize("facts", [[start()], [end()], [gap(0, 5)], [score(0)]])
def test_any_subset_has_row(facts):
    """Each kind of fact alone is enough for a row."""
    assert _row(*facts).call == "call-1"
