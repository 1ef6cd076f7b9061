"""How a call stands: what its row and its alerts are made of. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from linewatch.board.encoding import Fact
from linewatch.board.facts import channels_of, end_of, ends_of, updates_of
from linewatch.board.fold import Fold, Last, Terms
from linewatch.board.holes import Holes
from linewatch.board.silence import Silences
from linewatch.board.totals import Totals
from linewatch.calls import CallEnd, CallStart, CallUpdate, Channel


@dataclass(frozen=True, slots=True)
class CallState:
    """One call after everything that is known of it; *last* is the utterance that ended last."""

    tenant: str
    call: str
    start: CallStart | None
    end: CallEnd | None
    totals: Totals
    holes: Holes
    heard: frozenset[Channel]
    began_at_ms: int | None
    last: Last | None
    updates: tuple[CallUpdate, ...] = ()
    started_at_ms_told: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, name: tuple[str, str], edges: Collection[Fact], fold: Fold, terms: Terms
    ) -> CallState:
        """Return the state of the call of that *name*: tenant and call.

        *edges* hold its start, its end and its updates, as far as they are known.
        """
        start = next((each for each in edges if isinstance(each, CallStart)), None)
        end = end_of(edges)
        totals = fold.whole(terms)
        return cls(
            *(*name, start, end, totals, fold.holes, fold.heard, fold.began_at_ms, fold.last),
            updates=updates_of(edges),
            started_at_ms_told=tuple(each.started_at_ms for each in ends_of(edges)),
        )

    @property
    def started_at_ms(self) -> int:
        """When the call began: as announced, else as its audio, its ends or an update tells."""
        if self.start:
            return self.start.started_at_ms
        began = [] if self.began_at_ms is None else [self.began_at_ms]
        began.extend(self.started_at_ms_told)
        return min(began or [each.at_ms for each in self.updates])

    @property
    def length_ms(self) -> int | None:
        """How long the call was; none while it goes on."""
        return max(0, self.end.ended_at_ms - self.started_at_ms) if self.end else None

    @property
    def is_complete(self) -> bool:
        """Tell whether the call ended and everything that was counted then is here."""
        return (
            self.end is not None
            and self.totals.utterances >= self.end.utterances
            and self.holes.told >= self.end.gaps
        )

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels that a call like this one has, whether or not they were heard yet."""
        return channels_of(self.heard)

    @property
    def silences(self) -> Silences:
        """When nobody spoke for certain; what was not heard is no silence."""
        quiet = self.totals.quiet
        if self.is_complete and self.length_ms is not None:
            return quiet.complete(self.length_ms, self.holes)
        return quiet.certain()
