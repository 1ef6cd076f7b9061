"""A call folded turn by turn, so that an event costs the same however long the call is. No I/O.

Everything said in a call is taken in the order it was spoken. What was spoken last stays in a
tail, where a turn may still come in between or be scored anew; what leaves the tail is settled:
only its totals are kept. What was not heard is kept apart, so gaps may come long before or after
the words around them. A fact that would change what is settled cannot be taken, and the fold is
made anew of all facts. Either way it is the fold of the whole set: the order in which the facts
came plays no part.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from linewatch.board.encoding import Fact
from linewatch.board.facts import CallFacts, channels_of, scores_of
from linewatch.board.holes import Holes
from linewatch.board.rules import (
    Rule,
    SilenceRule,
    TurnRule,
    WholeRule,
    fingerprint,
    noticed,
)
from linewatch.board.scores import Shown
from linewatch.board.totals import Totals
from linewatch.board.turns import Place, Turn, packed, place, unpacked
from linewatch.calls import (
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    Channel,
    Missing,
    Score,
)

#: Raise it when what is kept, or what a rule makes of it, changes: calls are then folded anew.
FOLD: Final = 2
#: Events of one call overtake each other by a few places: a source has 50 of all calls under way.
TAIL: Final = 24
_TEXT_CHARACTERS: Final = 400
_NOUNS: Final = 12


#: Facts that tell of the whole call, not of what is heard.
_EDGES: Final = (CallStart, CallUpdate, CallEnd, CallResumed)


class Last(NamedTuple):
    """The utterance that ended last, cut to what a row has room for."""

    start_ms: int
    end_ms: int
    channel: Channel
    first_sample: int
    polarity: float
    text: str
    nouns: tuple[str, ...]
    consumer: str

    @classmethod
    def of(cls, score: Score) -> Last:
        """Cut *score*."""
        return cls(
            score.start_ms,
            score.end_ms,
            score.key.channel,
            score.first_sample,
            score.polarity,
            score.text[:_TEXT_CHARACTERS],
            score.nouns[:_NOUNS],
            score.consumer,
        )

    @property
    def name(self) -> tuple[Channel, int]:
        """Which utterance it is."""
        return self.channel, self.first_sample

    @property
    def rank(self) -> tuple[int, str, int, int]:
        """The greater, the later it ended; of two that ended together the customer's is greater."""
        return self.end_ms, self.channel, -self.start_ms, -self.first_sample


class Terms:
    """By what calls are folded: the rules that look at them, and whose scores are shown."""

    def __init__(self, rules: Sequence[Rule], shown: Shown) -> None:
        self.rules = rules
        self.shown = shown
        self.turn_rules = {each.name: each for each in rules if isinstance(each, TurnRule)}
        self.silence_rules = {each.name: each for each in rules if isinstance(each, SilenceRule)}
        self.whole_rules = {each.name: each for each in rules if isinstance(each, WholeRule)}
        _check(rules)
        #: A fold that was made by others is made anew.
        self.name = f"{FOLD} {fingerprint(rules)} {','.join(shown.consumers)}"

    def turn(self, score: Score) -> Turn:
        """Return what is kept of the utterance that *score* is shown of."""
        return Turn(
            score.start_ms,
            score.end_ms,
            score.key.channel,
            score.first_sample,
            score.index,
            score.polarity,
            noticed(score, self.turn_rules.values()),
        )


@dataclass(slots=True)
class Fold:
    """One call's fold: what is settled, up to ``settled_to``, and the tail after it.

    ``began_at_ms`` is the earliest begin of the call that any audio tells.
    """

    settled: Totals
    tail: list[Turn] = field(default_factory=list)
    settled_to: Place | None = None
    heard: frozenset[Channel] = frozenset()
    began_at_ms: int | None = None
    last: Last | None = None
    holes: Holes = field(default_factory=Holes)

    @classmethod
    def empty(cls) -> Fold:
        """Return the fold of a call of which nothing was heard."""
        return cls(Totals.on(channels_of(())))

    @classmethod
    def of(cls, facts: CallFacts, terms: Terms) -> Fold:
        """Fold everything that is known of a call."""
        tail = sorted(map(terms.turn, facts.scores), key=place)
        heard = frozenset(key.channel for key in facts.keys)
        began = [each.started_at_ms for each in facts.heard]
        last = max(map(Last.of, facts.scores), key=lambda last: last.rank, default=None)
        settled = Totals.on(channels_of(heard))
        holes = Holes.of(facts.gaps)
        fold = cls(settled, tail, None, heard, min(began, default=None), last, holes)
        fold._settle(terms)
        return fold

    def take(self, known: Sequence[Fact], stands: Sequence[Fact], terms: Terms) -> bool:
        """Go on from *known* to *stands*, the facts of one field; tell whether that was possible.

        If not, the fold is of no use any more.
        """
        gone = [each for each in known if each not in stands]
        for fact in stands:
            if fact not in known and not isinstance(fact, _EDGES):
                return self._began(fact, gone) and self._hear(fact, known, stands, terms)
        return True

    def whole(self, terms: Terms) -> Totals:
        """Return the totals of everything, the tail included."""
        totals = self.settled.copy()
        for spoken in self.tail:
            totals.take(spoken, self.holes, terms.turn_rules)
        return totals

    def _began(self, fact: Score | Missing, gone: Sequence[Fact]) -> bool:
        """Take the call's begin from *fact*; tell whether all that are *gone* named the same."""
        began = [] if self.began_at_ms is None else [self.began_at_ms]
        self.began_at_ms = min([*began, fact.started_at_ms])
        others = [each.started_at_ms for each in gone if isinstance(each, Score | Missing)]
        return all(each == fact.started_at_ms for each in others)

    def _hear(
        self, fact: Score | Missing, known: Sequence[Fact], stands: Sequence[Fact], terms: Terms
    ) -> bool:
        if isinstance(fact, Missing):
            return not known and self._miss(fact)
        before, score = (terms.shown.choose(scores_of(each)) for each in (known, stands))
        if score is None or score == before:
            return True
        self._show(Last.of(score))
        turn = terms.turn(score)
        return self._replace(turn) if before else self._insert(turn, terms)

    def _show(self, last: Last) -> None:
        if not self.last or last.name == self.last.name or last.rank > self.last.rank:
            self.last = last

    def _replace(self, turn: Turn) -> bool:
        """Put *turn* in the place of the same utterance; tell whether that is in the tail."""
        for at, spoken in enumerate(self.tail):
            if place(spoken) == place(turn):
                self.tail[at] = turn
                return True
        return False

    def _insert(self, turn: Turn, terms: Terms) -> bool:
        if not self._is_on(turn.channel):
            return False
        if self.settled_to and place(turn) <= self.settled_to:
            return False
        insort(self.tail, turn, key=place)
        self._settle(terms)
        return True

    def _miss(self, gap: Missing) -> bool:
        if not self._is_on(gap.key.channel):
            return False
        self.holes.add(gap)
        return not self.settled.quiet.are_cut_by(gap.start_ms, gap.end_ms)

    def _is_on(self, channel: Channel) -> bool:
        """Note that *channel* is heard of; tell whether what is settled fits the channels."""
        heard = self.heard | {channel}
        if channels_of(heard) != channels_of(self.heard):
            if self.settled_to:
                return False
            self.settled = Totals.on(channels_of(heard))
        self.heard = heard
        return True

    def _settle(self, terms: Terms) -> None:
        while len(self.tail) > TAIL:
            oldest = self.tail.pop(0)
            self.settled.take(oldest, self.holes, terms.turn_rules)
            self.settled_to = place(oldest)


def _check(rules: Sequence[Rule]) -> None:
    for rule in rules:
        if not isinstance(rule, TurnRule | SilenceRule | WholeRule):
            raise TypeError(f"{rule.name} can find nothing: give it a find method of rules.py")


def dumps(fold: Fold, terms: Terms) -> str:
    """Write *fold* as JSON."""
    kept = {
        "terms": terms.name,
        "settled": fold.settled.packed(),
        "settled_to": fold.settled_to,
        "tail": [packed(spoken) for spoken in fold.tail],
        "heard": sorted(fold.heard),
        "began_at_ms": fold.began_at_ms,
        "last": fold.last,
        "holes": fold.holes.packed(),
    }
    return json.dumps(kept, separators=(",", ":"))


def loads(text: str, terms: Terms) -> Fold | None:
    """Read what `dumps` wrote; nothing if that was by other terms, or nothing, or is unreadable."""
    try:
        kept: dict[str, Any] = json.loads(text or "{}")
        return _fold(kept) if kept.get("terms") == terms.name else None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _fold(kept: Mapping[str, Any]) -> Fold:
    return Fold(
        Totals.unpacked(kept["settled"]),
        [unpacked(spoken) for spoken in kept["tail"]],
        _place(*kept["settled_to"]) if kept["settled_to"] else None,
        frozenset(map(Channel, kept["heard"])),
        kept["began_at_ms"],
        _last(*kept["last"]) if kept["last"] else None,
        Holes.unpacked(*kept["holes"]),
    )


def _place(start_ms: int, end_ms: int, channel: str, first_sample: int) -> Place:
    return start_ms, end_ms, Channel(channel), first_sample


def _last(*kept: Any) -> Last:  # noqa: ANN401 - JSON
    last = Last(*kept)
    return last._replace(channel=Channel(last.channel), nouns=tuple(last.nouns))
