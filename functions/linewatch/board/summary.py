"""From everything known of a call to its line on the board. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from linewatch.board import rules
from linewatch.board.labels import labels_of
from linewatch.board.rows import CallRow
from linewatch.board.state import CallState
from linewatch.calls import Alert

#: The help score's parts, in points; together they may pass 100, which is cut off.
_MOOD_AT_ZERO: Final = 10.0
_MOOD_PER_POLARITY: Final = 80.0
_MOOD_MOST: Final = 55.0
_FALL_PER_POLARITY: Final = 30.0
_FALL_MOST: Final = 15.0
_ALERTS_MOST: Final = 45.0

#: Each turn counts so much of the one after it.
_FADE: Final = 0.7
_RECENT: Final = 6
#: An alert weighs half when the call went on for so long after it.
_ALERT_HALVES_MS: Final = 180_000
_UNHAPPY: Final = -0.2
_FALLING: Final = 0.3
#: Lifts every live call above every ended one.
_ENDED_BELOW: Final = 101.0


def summarize(state: CallState, alerts: Sequence[Alert]) -> CallRow:
    """Return the row of a call; *alerts* are those that hold for *state*.

    Quality, words, nouns and consumer are those of the last utterance. *line*
    is the call's id until somebody names it. On a mono call the ``mixed``
    channel stands for the customer.
    """
    mood, last = state.totals.customer, state.last
    labels = labels_of(state.call, state.start, state.updates)
    return CallRow(
        tenant=state.tenant,
        call=state.call,
        line=labels.line,
        agent=labels.agent,
        queue=labels.queue,
        started_at_ms=state.started_at_ms,
        ended_at_ms=state.end.ended_at_ms if state.end else None,
        help_score=help_score(mood, alerts, last.end_ms if last else 0),
        why=reason(mood, alerts),
        polarity=last.polarity if last else None,
        customer_trend=mood,
        agent_trend=state.totals.agent,
        last_text=last.text if last else "",
        last_channel=last.channel if last else None,
        last_end_ms=last.end_ms if last else 0,
        nouns=last.nouns if last else (),
        consumer=last.consumer if last else "",
        talk_ms={name: state.totals.talk_ms.get(name, 0) for name in sorted(state.channels)},
        longest_silence_ms=state.silences.longest_ms,
        utterances=state.totals.utterances,
        gaps=state.holes.count,
        rules=tuple(alert.rule for alert in alerts),
        agents_before=labels.agents_before,
        clock_off_ms=state.start.clock_off_ms if state.start else 0,
    )


def help_score(mood: Sequence[float], alerts: Sequence[Alert], now_ms: int) -> float:
    """Return 0 (fine) to 100 (help now).

    Args:
        mood: The customer's last polarities, oldest first.
        alerts: What holds.
        now_ms: The call time up to which the call is known.
    """
    points = _mood_points(mood) + _fall_points(mood) + _alert_points(alerts, now_ms)
    return round(min(100.0, points), 1)


def reason(mood: Sequence[float], alerts: Sequence[Alert]) -> str:
    """Return why the call needs help, in words; nothing if it needs none."""
    if alerts:
        return alerts[0].reason
    if mood and _recent(mood) <= _UNHAPPY:
        return "customer unhappy"
    return "mood falling" if _fall(mood) >= _FALLING and _recent(mood) < 0 else ""


def rank(row: CallRow) -> float:
    """Return what the board is sorted by, highest first: ended calls come after live ones."""
    return row.help_score - (_ENDED_BELOW if row.ended_at_ms is not None else 0.0)


def _mood_points(mood: Sequence[float]) -> float:
    if not mood:
        return 0.0
    points = _MOOD_AT_ZERO - _MOOD_PER_POLARITY * _recent(mood)
    return min(_MOOD_MOST, max(0.0, points))


def _fall_points(mood: Sequence[float]) -> float:
    return min(_FALL_MOST, _FALL_PER_POLARITY * max(0.0, _fall(mood)))


def _alert_points(alerts: Sequence[Alert], now_ms: int) -> float:
    points = 0.0
    for alert in alerts:
        age_ms = max(0, now_ms - alert.at_ms)
        points += rules.WEIGHTS[alert.severity] * math.pow(0.5, age_ms / _ALERT_HALVES_MS)
    return min(_ALERTS_MOST, points)


def _recent(mood: Sequence[float]) -> float:
    """The mean of the last turns, the newest weighing most."""
    weighed = [(_FADE**age, each) for age, each in enumerate(reversed(mood[-_RECENT:]))]
    return sum(weight * each for weight, each in weighed) / sum(weight for weight, _ in weighed)


def _fall(mood: Sequence[float]) -> float:
    """How far the last three turns lie below the three before."""
    before, after = mood[-6:-3], mood[-3:]
    if not before:
        return 0.0
    return sum(before) / len(before) - sum(after) / len(after)
