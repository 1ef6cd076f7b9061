"""How a call stands follows from its start, its end and what was heard."""

from __future__ import annotations

from linewatch.board.scores import ANYBODY, Shown
from tests.support.board_facts import STARTED_AT_MS, end, gap, resumed, score, start
from tests.support.board_fold import Folded


def _state(*facts, shown=ANYBODY):
    call = Folded(shown)
    call.put_all(facts)
    return call.state


def test_start_beats_audio():
    """The announced start counts; without it the earliest that the events tell."""
    late = score(0, started_at_ms=STARTED_AT_MS + 5)
    assert _state(late, start()).started_at_ms == STARTED_AT_MS
    assert _state(late).started_at_ms == STARTED_AT_MS + 5
    assert _state(late, end()).started_at_ms == STARTED_AT_MS
    assert _state(resumed()).started_at_ms == STARTED_AT_MS


def test_hidden_score_dates_the_call():
    """A call of which only scores are known that nobody is shown began when they say."""
    state = _state(score(0, consumer="canary"), shown=Shown(("sentiment",)))
    assert (state.totals.utterances, state.started_at_ms) == (0, STARTED_AT_MS)


def test_complete_needs_everything():
    """A call is complete when it ended and every utterance and gap counted is known."""
    told = [score(0), gap(0, 5)]
    assert not _state(*told).is_complete
    assert not _state(*told, end(utterances=2, gaps=1)).is_complete
    assert not _state(*told, end(utterances=1, gaps=2)).is_complete
    assert _state(*told, end(utterances=1, gaps=1)).is_complete


def test_utterance_counts_once():
    """An utterance that two consumers scored does not make up for one that nobody did."""
    twice = [score(0), score(0, consumer="notebook")]
    assert not _state(*twice, end(utterances=2)).is_complete


def test_length_needs_end():
    """A call has no length while it goes on, and never a negative one."""
    assert _state(start()).length_ms is None
    assert _state(end(7)).length_ms == 7
    assert _state(start(), end(-9)).length_ms == 0
