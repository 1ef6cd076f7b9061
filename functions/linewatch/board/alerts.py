"""Which alerts hold for a call. No I/O."""

from __future__ import annotations

from linewatch.board.facts import CallFacts
from linewatch.board.fold import Terms
from linewatch.board.rules import WEIGHTS, Finding, Rule
from linewatch.board.state import CallState
from linewatch.calls import Alert


def raised(state: CallState, terms: Terms, facts: CallFacts | None = None) -> tuple[Alert, ...]:
    """Return the alerts that hold, worst first, at most one a rule.

    *facts* must be there if one of the rules is a `WholeRule`.
    """
    found = dict(state.totals.found)
    silences = state.silences.rising
    for name, by_silence in terms.silence_rules.items():
        _note(found, name, by_silence.find_in_silences(silences))
    for name, by_facts in terms.whole_rules.items():
        _note(found, name, by_facts.find_in_facts(facts) if facts else None)
    alerts = [_alert(state, rule, found[rule.name]) for rule in terms.rules if rule.name in found]
    return tuple(sorted(alerts, key=lambda alert: (-WEIGHTS[alert.severity], alert.at_ms)))


def _note(found: dict[str, Finding], name: str, finding: Finding | None) -> None:
    if finding:
        found[name] = finding


def _alert(state: CallState, rule: Rule, finding: Finding) -> Alert:
    return Alert(
        tenant=state.tenant,
        call=state.call,
        rule=rule.name,
        severity=rule.severity,
        reason=finding.reason,
        at_ms=finding.at_ms,
        started_at_ms=state.started_at_ms,
        evidence=finding.evidence,
    )
