"""What the page shows of one call, and of the alerts of many. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linewatch.board import encoding, rules
from linewatch.board.facts import CallFacts
from linewatch.board.holes import Holes
from linewatch.board.rows import AlertRow, CallRow, Said, Unheard
from linewatch.calls import Alert, Score


def queue_of(
    rows: Mapping[str, CallRow], alerts: Mapping[str, str]
) -> tuple[tuple[AlertRow, ...], tuple[str, ...]]:
    """The alerts of *rows*, worst first, then oldest first; those of one moment by their call.

    And the names of those that cannot be read.
    """
    known = {name: name.partition("|")[0] for name in sorted(alerts)}
    read = {
        name: encoding.loads_raised(alerts[name]) for name, call in known.items() if call in rows
    }
    found = [_alert_row(rows[known[name]], *raised) for name, raised in read.items() if raised]
    unread = tuple(name for name, raised in read.items() if not raised)
    return tuple(sorted(found, key=_urgency)), unread


def _urgency(alert: AlertRow) -> tuple[int, int, str, str]:
    return -rules.WEIGHTS[alert.severity], alert.raised_at_ms, alert.call, alert.rule


def _alert_row(row: CallRow, raised_at_ms: int, alert: Alert) -> AlertRow:
    return AlertRow(
        tenant=row.tenant,
        call=row.call,
        line=row.line,
        rule=alert.rule,
        severity=alert.severity,
        reason=alert.reason,
        raised_at_ms=raised_at_ms,
    )


def said_of(scores: Sequence[Score]) -> tuple[Said, ...]:
    """Return the transcript of *scores*."""
    return tuple(
        Said(
            channel=score.key.channel,
            first_sample=score.first_sample,
            start_ms=score.start_ms,
            end_ms=score.end_ms,
            text=score.text,
            polarity=score.polarity,
            nouns=score.nouns,
            consumer=score.consumer,
            scorer_version=score.scorer_version,
        )
        for score in scores
    )


def unheard_of(facts: CallFacts) -> tuple[Unheard, ...]:
    """Return the gaps of a call as its detail shows them."""
    spans = Holes.of(facts.gaps).spans()
    found = (Unheard(channel, begin, end, reason) for channel, reason, begin, end in spans)
    return tuple(sorted(found, key=lambda each: (each.start_ms, each.end_ms, each.channel)))
