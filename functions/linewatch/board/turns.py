"""What is kept of an utterance while a call goes on. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from linewatch.calls import Channel, Evidence

#: Start, end, channel, first sample: utterances are folded in this order.
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


def place(turn: Turn) -> Place:
    """Return where *turn* stands among all that is said in a call."""
    return turn.start_ms, turn.end_ms, turn.channel, turn.first_sample


def packed(turn: Turn) -> list[object]:
    """Return *turn* as JSON can write it."""
    return [*turn]


def unpacked(kept: list[object]) -> Turn:
    """Read what `packed` returned."""
    turn = Turn(*kept)  # type: ignore[arg-type] # as `packed` wrote them
    return turn._replace(channel=Channel(turn.channel))
