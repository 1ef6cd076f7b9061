"""A call's hash in Redis, taken apart, and what one more fact makes of it. No I/O."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from linewatch.board import encoding, fold
from linewatch.board.encoding import END, START, UPDATES, Fact, field_of
from linewatch.board.facts import CallFacts, name_of, with_fact
from linewatch.board.fold import Fold, Terms
from linewatch.board.rules import Rule
from linewatch.board.scores import Shown
from linewatch.board.state import CallState
from linewatch.errors import Unavailable

VERSION: Final = "version"
_SHOWN: Final = "shown"
_FOLD: Final = "fold"
_PACKED: Final = "packed"
_ALERT: Final = "alert:"
_SENT: Final = "sent:"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was read of a call's hash: texts, parsed when asked for."""

    version: str
    shown: Shown
    fold: str
    facts: Mapping[str, str]
    alerts: Mapping[str, str]
    sent: frozenset[str]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Kept:
        """Take *fields* apart."""
        left = {**_unpacked(fields.get(_PACKED, "")), **fields}
        left.pop(_PACKED, None)
        version, shown, folded = (left.pop(name, "") for name in (VERSION, _SHOWN, _FOLD))
        alerts = {name: left.pop(name) for name in fields if name.startswith(_ALERT)}
        sent = [name for name in fields if name.startswith(_SENT) and left.pop(name)]
        return cls(
            version or "0",
            Shown(tuple(filter(None, shown.split(",")))),
            folded,
            left,
            {name.removeprefix(_ALERT): text for name, text in alerts.items()},
            frozenset(name.removeprefix(_SENT) for name in sent),
        )

    def at(self, field: str) -> tuple[Fact, ...]:
        """Return the facts of one field."""
        return encoding.loads_facts(field, self.facts.get(field, "[]"))

    def values(self) -> list[Fact]:
        """Return all facts that were read."""
        return [fact for field in self.facts for fact in self.at(field)]

    @property
    def unreadable(self) -> int:
        """How many of the facts newer code wrote for itself alone; they are left as they are."""
        return sum(encoding.unreadable_in(field, text) for field, text in self.facts.items())


def packed(fields: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the names of the facts among a call's *fields*, and one text in place of them all.

    The fold is left out: it can be made anew. Without facts there are no names.
    """
    facts = Kept.of(fields).facts
    squeezed = zlib.compress(json.dumps(facts, separators=(",", ":")).encode())
    return [_FOLD, *facts] if facts.keys() & fields.keys() else [], b64encode(squeezed).decode()


def _unpacked(text: str) -> dict[str, str]:
    facts: dict[str, str] = json.loads(zlib.decompress(b64decode(text))) if text else {}
    return facts


def part_of(fact: Fact, rules: Iterable[Rule]) -> list[str]:
    """Return the fields of a call's hash that are needed to take *fact* in, if its fold can."""
    names = [rule.name for rule in rules]
    own = (VERSION, _FOLD, _PACKED, START, END, UPDATES, field_of(fact))
    return [
        *dict.fromkeys(own),
        *(_ALERT + name for name in names),
        *(_SENT + name for name in names),
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """What one more fact makes of a call.

    If it *is_news*, *text* is to be written into *field* and *folded* is the new fold. *facts* is
    everything known, if it was read.
    """

    state: CallState
    field: str = ""
    text: str = ""
    folded: str = ""
    is_news: bool = False
    facts: CallFacts | None = None

    @classmethod
    def by_fold(cls, kept: Kept, fact: Fact, terms: Terms) -> Change | None:
        """Go on from the fold in *kept*; nothing if all facts must be read."""
        going = Fold.empty() if kept.version == "0" else fold.loads(kept.fold, terms)
        known = kept.at(field_of(fact))
        stands = with_fact(known, fact)
        if going is None or terms.whole_rules:
            return None
        if stands != known and not going.take(known, stands, terms):
            return None
        return cls._of(kept, fact, stands, going, terms)

    @classmethod
    def by_facts(cls, kept: Kept, fact: Fact, terms: Terms) -> Change:
        """Fold all facts, of which *kept* holds every one but *fact*."""
        facts = CallFacts.of([*kept.values(), fact], terms.shown)
        stands = with_fact(kept.at(field_of(fact)), fact)
        return replace(cls._of(kept, fact, stands, Fold.of(facts, terms), terms), facts=facts)

    @classmethod
    def _of(
        cls, kept: Kept, fact: Fact, stands: tuple[Fact, ...], going: Fold, terms: Terms
    ) -> Change:
        field = field_of(fact)
        told = {name: kept.at(name) for name in (START, END, UPDATES)} | {field: stands}
        edges = [*told[START], *told[END], *told[UPDATES]]
        state = CallState.of(name_of(fact), edges, going, terms)
        if stands == kept.at(field):
            return cls(state)
        text = encoding.with_facts(field, kept.facts.get(field, "[]"), stands)
        if text is None:
            raise Unavailable(f"newer code alone can write {field}: send the event again")
        folded = fold.dumps(going, terms)
        return cls(state, field, text, folded, is_news=True)
