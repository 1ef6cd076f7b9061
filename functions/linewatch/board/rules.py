"""The alert rules: from what is known of a call to the alerts that hold. No I/O.

A rule that held at some moment of a call holds for the whole call, so what a
customer said at the start is still an alert at the end. Rules count by the
utterances' own numbers, never by what happens to be known: a score that is
still on its way can add an alert, it cannot take one back. (Two things can: a
gap that comes after the speech that followed it takes back a silence, and a score that
takes the place of another, see `linewatch.board.scores`, what only the other met.)

A rule is of one of three kinds, by what it asks for. `TurnRule` and `SilenceRule` cost the same
however long a call is. A `WholeRule` may ask for anything, and makes the board read everything
known of a call for each of its events. The ``repr`` of a rule must name all that it depends on:
where it changes, calls are worked out anew.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from importlib import resources
from typing import Final, Protocol, runtime_checkable

from linewatch.board.facts import CallFacts
from linewatch.board.silence import Stretch
from linewatch.board.turns import Turn
from linewatch.calls import Evidence, Score, Severity

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


@runtime_checkable
class TurnRule(Rule, Protocol):
    """A rule that is met by utterances, each seen once, in the order they were spoken."""

    @property
    def look_back(self) -> int:
        """How many noticed turns before the newest one it needs."""

    def notice(self, score: Score) -> str | None:
        """Return why the rule must look at an utterance, if it must; *score* is the one shown."""

    def find_in_turns(self, turns: Sequence[Turn]) -> Finding | None:
        """Return whether the newest noticed turn, the last of *turns*, meets the rule."""


@runtime_checkable
class SilenceRule(Rule, Protocol):
    """A rule that is met by silence, in whole seconds."""

    def find_in_silences(self, silences: Sequence[Stretch]) -> Finding | None:
        """Return the first silence that meets the rule.

        *silences* are those that reach more whole seconds than all before them.
        """


@runtime_checkable
class WholeRule(Rule, Protocol):
    """A rule that asks for everything known of a call."""

    def find_in_facts(self, facts: CallFacts) -> Finding | None:
        """Return the first time *facts* meet the rule."""


@dataclass(frozen=True, slots=True)
class NegativeStreak:
    """The customer was negative in *count* of *window* turns that follow each other."""

    polarity: float = -0.25
    count: int = 3
    window: int = 4
    severity: Severity = Severity.CRITICAL
    name: str = "negative-streak"

    @property
    def look_back(self) -> int:
        """See `TurnRule`."""
        return self.count - 1

    def notice(self, score: Score) -> str | None:
        """See `TurnRule`."""
        is_negative = score.key.channel.has_customer and score.polarity <= self.polarity
        return "negative" if is_negative else None

    def find_in_turns(self, turns: Sequence[Turn]) -> Finding | None:
        """Return a streak that ends with the newest turn.

        The turns are counted by index: a turn between them that is not known
        yet can only be the one that may be friendlier.
        """
        span = turns[-1].index - turns[0].index + 1
        if len(turns) < self.count or not self.count <= span <= self.window:
            return None
        evidence = tuple(turn.evidence for turn in turns)
        return Finding(self._reason(span), turns[-1].end_ms, evidence)

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

    @property
    def look_back(self) -> int:
        """See `TurnRule`."""
        return 0

    def notice(self, score: Score) -> str | None:
        """Return the reason that goes with the first phrase the utterance holds."""
        if not score.key.channel.has_customer:
            return None
        spoken = _words(score.text)
        return next((why for said, why in self.phrases.items() if f" {said} " in spoken), None)

    def find_in_turns(self, turns: Sequence[Turn]) -> Finding | None:
        """See `TurnRule`."""
        (turn,) = turns
        return Finding(turn.noticed[self.name], turn.end_ms, (turn.evidence,))


@dataclass(frozen=True, slots=True)
class LongSilence:
    """Nobody spoke for *least_s*."""

    least_s: int = 30
    severity: Severity = Severity.NOTICE
    name: str = "long-silence"

    def find_in_silences(self, silences: Sequence[Stretch]) -> Finding | None:
        """Return the first silence that is long enough; its evidence is what was said before it."""
        for stretch in silences:
            if stretch.length_ms >= self.least_s * 1000:
                reason = f"nobody spoke for {stretch.length_ms // 1000} s"
                evidence = (stretch.before,) if stretch.before else ()
                return Finding(reason, stretch.start_ms + self.least_s * 1000, evidence)
        return None


# Every rule asks for the words of the same utterance.
@lru_cache(maxsize=16)
def _words(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


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


def noticed(score: Score, rules: Iterable[TurnRule]) -> dict[str, str]:
    """Return the names of those of *rules* that must look at an utterance, and why."""
    found = {rule.name: rule.notice(score) for rule in rules}
    return {name: why for name, why in found.items() if why is not None}


def fingerprint(rules: Iterable[Rule]) -> str:
    """Return a short hash of *rules*: a fold made by other rules is not used."""
    return sha256(repr(list(rules)).encode()).hexdigest()[:16]
