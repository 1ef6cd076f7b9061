"""Everything known of one call, as a set: the order in which it was told plays no part. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from linewatch.board import encoding
from linewatch.board.encoding import Fact
from linewatch.calls import CallEnd, CallStart, Channel, Missing, Score

#: A mono source has both speakers on one channel, so what the customer says is heard there too.
CUSTOMERS = frozenset({Channel.CUSTOMER, Channel.MIXED})


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of *call*; *scores* and *gaps* stand in the order they were spoken."""

    tenant: str
    call: str
    start: CallStart | None
    end: CallEnd | None
    scores: tuple[Score, ...]
    gaps: tuple[Missing, ...]

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> CallFacts:
        """Gather *facts* of one call, told in any order and any number of times.

        Of two tellings of one fact that differ the greater stands, whichever came first.

        Raises:
            ValueError: there are none.
        """
        told: dict[str, Fact] = {}
        for fact in facts:
            field = encoding.field_of(fact)
            known = told.get(field)
            told[field] = max(fact, known, key=encoding.dumps) if known else fact
        if not told:
            raise ValueError("nothing is known of a call without facts")
        values = list(told.values())
        tenant, call = name_of(values[0])
        return cls(
            tenant=tenant,
            call=call,
            start=next((each for each in values if isinstance(each, CallStart)), None),
            end=next((each for each in values if isinstance(each, CallEnd)), None),
            scores=tuple(sorted((v for v in values if isinstance(v, Score)), key=_spoken_order)),
            gaps=tuple(sorted((v for v in values if isinstance(v, Missing)), key=_spoken_order)),
        )

    @property
    def started_at_ms(self) -> int:
        """When the call began: as announced, else as its audio tells."""
        if self.start:
            return self.start.started_at_ms
        told = [score.started_at_ms for score in self.scores]
        told += [gap.started_at_ms for gap in self.gaps]
        return min([*told, self.end.started_at_ms] if self.end else told)

    @property
    def length_ms(self) -> int | None:
        """How long the call was; none while it goes on."""
        return max(0, self.end.ended_at_ms - self.started_at_ms) if self.end else None

    @property
    def is_complete(self) -> bool:
        """Tell whether the call ended and everything that was counted then is here."""
        return (
            self.end is not None
            and len(self.scores) >= self.end.utterances
            and len(self.gaps) >= self.end.gaps
        )

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels that a call like this one has, whether or not they were heard yet."""
        heard = {score.key.channel for score in self.scores}
        heard |= {gap.key.channel for gap in self.gaps}
        if Channel.MIXED in heard:
            return frozenset(heard)
        return frozenset({Channel.AGENT, Channel.CUSTOMER})

    def on(self, channel: Channel) -> list[Score]:
        """Return the utterances of *channel*, oldest first."""
        own = (score for score in self.scores if score.key.channel == channel)
        return sorted(own, key=lambda score: score.first_sample)

    @property
    def by_customer(self) -> list[Score]:
        """The utterances the customer is heard in, oldest first."""
        return [score for score in self.scores if score.key.channel in CUSTOMERS]


def name_of(fact: Fact) -> tuple[str, str]:
    """Return the tenant and the call that *fact* belongs to."""
    if isinstance(fact, CallStart | CallEnd):
        return fact.tenant, fact.call
    return fact.key.tenant, fact.key.call


def _spoken_order(spoken: Score | Missing) -> tuple[int, int, str, int]:
    return spoken.start_ms, spoken.end_ms, spoken.key.channel, spoken.first_sample
