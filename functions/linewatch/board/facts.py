"""Everything known of one call, as a set: the order in which it came plays no part. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from linewatch.board import encoding, labels
from linewatch.board.encoding import Fact
from linewatch.board.scores import ANYBODY, Shown
from linewatch.calls import (
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    Channel,
    ChannelKey,
    Missing,
    Score,
)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of *call*; *scores* and *gaps* stand in the order they were spoken.

    *scores* holds the one score of each utterance that is shown, *others* the rest of them.
    """

    tenant: str
    call: str
    start: CallStart | None
    end: CallEnd | None
    scores: tuple[Score, ...]
    gaps: tuple[Missing, ...]
    others: tuple[Score, ...]
    updates: tuple[CallUpdate, ...] = ()
    ends: tuple[CallEnd | CallResumed, ...] = ()

    @classmethod
    def of(cls, facts: Iterable[Fact], shown: Shown = ANYBODY) -> CallFacts:
        """Gather *facts* of one call, that came in any order and any number of times.

        Raises:
            ValueError: there are none.
        """
        by_field: dict[str, tuple[Fact, ...]] = {}
        for fact in facts:
            field = encoding.field_of(fact)
            by_field[field] = with_fact(by_field.get(field, ()), fact)
        values = [fact for each in by_field.values() for fact in each]
        if not values:
            raise ValueError("nothing is known of a call without facts")
        tenant, call = name_of(values[0])
        chosen = {id(shown.choose(scores_of(each))) for each in by_field.values()}
        scores = sorted(scores_of(values), key=_spoken_order)
        return cls(
            tenant=tenant,
            call=call,
            start=next((each for each in values if isinstance(each, CallStart)), None),
            end=end_of(values),
            scores=tuple(each for each in scores if id(each) in chosen),
            gaps=tuple(sorted((v for v in values if isinstance(v, Missing)), key=_spoken_order)),
            others=tuple(each for each in scores if id(each) not in chosen),
            updates=updates_of(values),
            ends=ends_of(values),
        )

    @property
    def heard(self) -> tuple[Score | Missing, ...]:
        """All that comes from the call's audio, shown or not."""
        return (*self.scores, *self.others, *self.gaps)

    @property
    def keys(self) -> frozenset[ChannelKey]:
        """The channels of which a gap or a shown score is known."""
        return frozenset(each.key for several in (self.scores, self.gaps) for each in several)


def name_of(fact: Fact) -> tuple[str, str]:
    """Return the tenant and the call that *fact* belongs to."""
    if isinstance(fact, CallStart | CallUpdate | CallEnd | CallResumed):
        return fact.tenant, fact.call
    return fact.key.tenant, fact.key.call


def channels_of(heard: Iterable[Channel]) -> frozenset[Channel]:
    """Return the channels that a call has, of which those in *heard* were heard so far."""
    known = frozenset(heard)
    return known if Channel.MIXED in known else known | {Channel.AGENT, Channel.CUSTOMER}


def with_fact(known: Sequence[Fact], fact: Fact) -> tuple[Fact, ...]:
    """Return *known*, all facts of one field, with *fact* among them.

    Of a call's updates those stand that hold a last word of some field, see `labels.kept`. Scores
    of one utterance by different consumers or versions stand side by side. Of two
    versions of the same fact the greater stands, whichever came first: the first value in which
    they differ decides, numbers as numbers.
    """
    if isinstance(fact, CallUpdate):
        return labels.kept([*updates_of(known), fact])
    others = [each for each in known if _teller(each) != _teller(fact)]
    same = [each for each in known if _teller(each) == _teller(fact) and each != fact]
    stands = max((*same, fact), key=astuple) if same else fact
    return tuple(sorted((*others, stands), key=_teller))


def ends_of(facts: Iterable[Fact]) -> tuple[CallEnd | CallResumed, ...]:
    """Return those of *facts* that end the call or take its end back, by generation."""
    ends = [each for each in facts if isinstance(each, CallEnd | CallResumed)]
    return tuple(sorted(ends, key=_teller))


def end_of(facts: Iterable[Fact]) -> CallEnd | None:
    """Return the end among *facts* that stands; none where the call came back after it."""
    known = list(facts)
    lives = max((each.generation for each in known if isinstance(each, CallResumed)), default=0)
    ends = [each for each in known if isinstance(each, CallEnd) and each.generation >= lives]
    return max(ends, key=lambda end: end.generation, default=None)


def scores_of(facts: Iterable[Fact]) -> list[Score]:
    """Return those of *facts* that are scores."""
    return [each for each in facts if isinstance(each, Score)]


def updates_of(facts: Iterable[Fact]) -> tuple[CallUpdate, ...]:
    """Return those of *facts* that are updates."""
    return tuple(each for each in facts if isinstance(each, CallUpdate))


def _teller(fact: Fact) -> tuple[str, int]:
    match fact:
        case Score():
            return fact.consumer, fact.scorer_version
        case CallEnd() | CallResumed():
            return type(fact).__name__, fact.generation
    return "", 0


def _spoken_order(spoken: Score | Missing) -> tuple[int, int, str, int]:
    return spoken.start_ms, spoken.end_ms, spoken.key.channel, spoken.first_sample
