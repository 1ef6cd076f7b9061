"""What is kept of an utterance and of a gap while a call goes on. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from linewatch.calls import Channel, Evidence, Missing

#: Start, end, channel, first sample: utterances and gaps are folded in this order.
Place = tuple[int, int, Channel, int]


class Turn(NamedTuple):
    """One utterance without its words; *noticed* holds the rules it concerns, and why."""

    start_ms: int
    end_ms: int
    channel: Channel
    first_sample: int
    index: int  # type: ignore[assignment] # hides tuple.index
    polarity: float
    noticed: Mapping[str, str]

    @property
    def evidence(self) -> Evidence:
        """The utterance's name."""
        return Evidence(self.channel, self.first_sample)


class Hole(NamedTuple):
    """One stretch of a channel that was not heard."""

    start_ms: int
    end_ms: int
    channel: Channel
    first_sample: int

    @classmethod
    def of(cls, gap: Missing) -> Hole:
        """Keep what matters of *gap*."""
        return cls(gap.start_ms, gap.end_ms, gap.key.channel, gap.first_sample)


def place(spoken: Turn | Hole) -> Place:
    """Return where *spoken* stands among all that is heard of a call."""
    return spoken.start_ms, spoken.end_ms, spoken.channel, spoken.first_sample


def packed(spoken: Turn | Hole) -> list[object]:
    """Return *spoken* as JSON can write it."""
    return [*spoken]


def unpacked(kept: list[object]) -> Turn | Hole:
    """Read what `packed` returned."""
    kind: type[Turn | Hole] = Turn if len(kept) == len(Turn._fields) else Hole
    spoken = kind(*kept)  # type: ignore[arg-type] # as `packed` wrote them
    return spoken._replace(channel=Channel(spoken.channel))
