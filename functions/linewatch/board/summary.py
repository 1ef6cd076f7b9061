"""From everything known of a call to its line on the board. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from linewatch.board import rules
from linewatch.board.facts import CUSTOMERS, CallFacts
from linewatch.board.rows import CallRow
from linewatch.board.silence import longest_ms, silences
from linewatch.calls import Alert, CallStart, Channel, Score

#: The row is read every second by the dashboard, so it stays small whatever was said.
TREND_POINTS: Final = 15
_TEXT_CHARACTERS: Final = 400
_NOUNS: Final = 12

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


def summarize(facts: CallFacts, alerts: Sequence[Alert]) -> CallRow:
    """Return the row of a call; *alerts* are those that hold for *facts*.

    Quality, words, nouns and consumer are those of the last utterance. *line*
    is the call's id until the start is known. On a mono call the ``mixed``
    channel stands for the customer.
    """
    mood = [score.polarity for score in facts.by_customer]
    start = facts.start or CallStart(facts.tenant, facts.call, facts.call, facts.started_at_ms)
    last = max(facts.scores, key=_end_order, default=None)
    row = CallRow(
        tenant=facts.tenant,
        call=facts.call,
        line=start.line,
        agent=start.agent,
        queue=start.queue,
        started_at_ms=facts.started_at_ms,
        ended_at_ms=facts.end.ended_at_ms if facts.end else None,
        help_score=help_score(mood, alerts, last.end_ms if last else 0),
        why=_why(mood, alerts),
        polarity=None,
        customer_trend=_trend(facts, CUSTOMERS),
        agent_trend=_trend(facts, {Channel.AGENT}),
        last_text="",
        last_channel=None,
        last_end_ms=0,
        nouns=(),
        consumer="",
        talk_ms=_talk_ms(facts),
        longest_silence_ms=longest_ms(silences(facts)),
        utterances=len(facts.scores),
        gaps=len(facts.gaps),
        rules=tuple(alert.rule for alert in alerts),
    )
    return _with_last(row, last) if last else row


def _end_order(score: Score) -> tuple[int, str]:
    return score.end_ms, score.key.channel


def _with_last(row: CallRow, last: Score) -> CallRow:
    return replace(
        row,
        polarity=last.polarity,
        last_text=last.text[:_TEXT_CHARACTERS],
        last_channel=last.key.channel,
        last_end_ms=last.end_ms,
        nouns=last.nouns[:_NOUNS],
        consumer=last.consumer,
    )


def help_score(mood: Sequence[float], alerts: Sequence[Alert], now_ms: int) -> float:
    """Return 0 (fine) to 100 (help now).

    Args:
        mood: The customer's polarities, oldest first.
        alerts: What holds.
        now_ms: The call time up to which the call is known.
    """
    points = _mood_points(mood) + _fall_points(mood) + _alert_points(alerts, now_ms)
    return round(min(100.0, points), 1)


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


def _why(mood: Sequence[float], alerts: Sequence[Alert]) -> str:
    if alerts:
        return alerts[0].reason
    if mood and _recent(mood) <= _UNHAPPY:
        return "customer unhappy"
    return "mood falling" if _fall(mood) >= _FALLING and _recent(mood) < 0 else ""


def _trend(facts: CallFacts, channels: frozenset[Channel] | set[Channel]) -> tuple[float, ...]:
    own = [score.polarity for score in facts.scores if score.key.channel in channels]
    return tuple(own[-TREND_POINTS:])


def _talk_ms(facts: CallFacts) -> dict[Channel, int]:
    spoken = dict.fromkeys(sorted(facts.channels), 0)
    for score in facts.scores:
        spoken[score.key.channel] += max(0, score.end_ms - score.start_ms)
    return spoken
