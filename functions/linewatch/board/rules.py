"""The alert rules: from everything known of a call to the alerts that hold. No I/O.

A rule that held at some moment of a call holds for the whole call, so what a
customer said at the start is still an alert at the end. Rules count by the
utterances' own numbers, never by what happens to be known: a score that is
still on its way can add an alert, it cannot take one back. (One thing can: a
gap told after the speech that followed it. It takes back a silence.)
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from typing import Final, Protocol

from linewatch.board.facts import CallFacts
from linewatch.board.silence import silences
from linewatch.calls import Alert, Evidence, Score, Severity

_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule met: why, in words for a supervisor, since which call time, and by what."""

    reason: str
    at_ms: int
    evidence: tuple[Evidence, ...] = ()


class Rule(Protocol):
    """One reason to look at a call; *name* is part of its alerts' id."""

    @property
    def name(self) -> str:
        """The rule's name: letters, digits and ``-``."""

    @property
    def severity(self) -> Severity:
        """How soon somebody should look."""

    def find(self, facts: CallFacts) -> Finding | None:
        """Return the first time *facts* meet the rule."""


@dataclass(frozen=True, slots=True)
class NegativeStreak:
    """The customer was negative in *count* of *window* turns that follow each other."""

    polarity: float = -0.25
    count: int = 3
    window: int = 4
    severity: Severity = Severity.CRITICAL
    name: str = "negative-streak"

    def find(self, facts: CallFacts) -> Finding | None:
        """Return the first streak.

        The turns are counted by index: a turn between them that is not known
        yet can only be the one that may be friendlier.
        """
        negative = [score for score in facts.by_customer if score.polarity <= self.polarity]
        negative.sort(key=lambda score: (score.first_sample, score.index))
        for last in range(self.count - 1, len(negative)):
            turns = negative[last - self.count + 1 : last + 1]
            span = turns[-1].index - turns[0].index + 1
            if self.count <= span <= self.window:
                return Finding(self._reason(span), turns[-1].end_ms, _evidence(turns))
        return None

    def _reason(self, span: int) -> str:
        if span == self.count:
            return f"{self.count} angry turns in a row"
        return f"{self.count} of {span} turns angry"


@dataclass(frozen=True, slots=True)
class Keywords:
    """The customer used one of *phrases* (phrase -> reason), lower-case and whole words."""

    name: str
    severity: Severity
    phrases: dict[str, str] = field(hash=False)

    def find(self, facts: CallFacts) -> Finding | None:
        """Return the first utterance that holds a phrase."""
        for score in facts.by_customer:
            reason = self._reason(score.text)
            if reason:
                return Finding(reason, score.end_ms, _evidence([score]))
        return None

    def _reason(self, text: str) -> str | None:
        spoken = _words(text)
        return next((why for said, why in self.phrases.items() if f" {said} " in spoken), None)


@dataclass(frozen=True, slots=True)
class LongSilence:
    """Nobody spoke for *least_ms*."""

    least_ms: int = 30_000
    severity: Severity = Severity.NOTICE
    name: str = "long-silence"

    def find(self, facts: CallFacts) -> Finding | None:
        """Return the first silence that is long enough; its evidence is what was said before it."""
        for stretch in silences(facts):
            if stretch.length_ms >= self.least_ms:
                before = [score for score in facts.scores if score.end_ms <= stretch.start_ms]
                reason = f"nobody spoke for {stretch.length_ms // 1000} s"
                at_ms = stretch.start_ms + self.least_ms
                return Finding(reason, at_ms, _evidence(before[-1:]))
        return None


# Every rule asks for the words of every utterance each time one is added.
@lru_cache(maxsize=4096)
def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _evidence(scores: Sequence[Score]) -> tuple[Evidence, ...]:
    return tuple(Evidence(score.key.channel, score.first_sample) for score in scores)


def read_keywords(lines: Iterable[str]) -> tuple[Keywords, ...]:
    """Read rules from CSV with the columns rule, severity, reason, phrase.

    The first line of a rule decides its severity.
    """
    found: dict[str, Keywords] = {}
    for line in csv.DictReader(lines):
        rule = found.setdefault(
            line["rule"], Keywords(f"keyword-{line['rule']}", Severity(line["severity"]), {})
        )
        rule.phrases[line["phrase"]] = line["reason"]
    return tuple(found.values())


@cache
def default_rules() -> tuple[Rule, ...]:
    """Return the rules that hold where nobody chose others."""
    listed = resources.files("linewatch.board").joinpath("keywords.csv").read_text("utf-8")
    return (NegativeStreak(), *read_keywords(listed.splitlines()), LongSilence())


#: How much each severity weighs, in points of a help score.
WEIGHTS: Final = {Severity.NOTICE: 10, Severity.WARNING: 20, Severity.CRITICAL: 30}


def raised(facts: CallFacts, rules: Sequence[Rule] | None = None) -> tuple[Alert, ...]:
    """Return the alerts that hold for *facts*, worst first, at most one a rule."""
    found = []
    for rule in default_rules() if rules is None else rules:
        finding = rule.find(facts)
        if finding:
            found.append(_alert(facts, rule, finding))
    return tuple(sorted(found, key=lambda alert: (-WEIGHTS[alert.severity], alert.at_ms)))


def _alert(facts: CallFacts, rule: Rule, finding: Finding) -> Alert:
    return Alert(
        tenant=facts.tenant,
        call=facts.call,
        rule=rule.name,
        severity=rule.severity,
        reason=finding.reason,
        at_ms=finding.at_ms,
        started_at_ms=facts.started_at_ms,
        evidence=finding.evidence,
    )
