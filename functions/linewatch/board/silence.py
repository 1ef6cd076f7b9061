"""When nobody spoke, worked out turn by turn. No I/O.

A score may still be on its way, so the time between two known utterances of a channel is silent
for certain only if their indexes follow each other, or if the call ended and all of it is known.
Only such silence counts: it stays true whatever comes later.

Turns are taken in the order they began. So a stretch in which nobody is known to speak ends where
the next of them begins, and only a hole can shorten it later. It then waits for the next utterance
of each channel, whose index tells whether that channel was silent indeed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from linewatch.board.holes import Holes
from linewatch.board.turns import Turn
from linewatch.calls import Channel, Evidence

#: The channels that stretches still wait for, and whether all others were silent for certain.
_Waiting = tuple[frozenset[Channel], bool]


class Stretch(NamedTuple):
    """A piece of a call, in ms since its first sample; *before* is the last utterance before it."""

    start_ms: int
    end_ms: int
    before: Evidence | None = None

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.end_ms - self.start_ms


class Silences(NamedTuple):
    """The longest, and each that reaches more whole seconds than all before it.

    So the first silence of 30 s or more is among *rising*, which stays short: the lengths add up
    to no more than the call, so there are 60 in half an hour at the most.
    """

    longest: Stretch = Stretch(0, 0)
    rising: tuple[Stretch, ...] = ()

    @property
    def longest_ms(self) -> int:
        """How long the longest is."""
        return self.longest.length_ms

    def then(self, stretch: Stretch) -> Silences:
        """Return these and *stretch*, which comes after all of them."""
        if stretch.length_ms <= self.longest_ms:
            return self
        rises = stretch.length_ms // 1000 > self.longest_ms // 1000
        return Silences(stretch, (*self.rising, stretch) if rises else self.rising)

    def joined(self, other: Silences) -> Silences:
        """Return these and those of *other*, in order."""
        found = NONE
        stretches = (self.longest, *self.rising, other.longest, *other.rising)
        for stretch in sorted(stretches, key=lambda each: each[:2]):
            found = found.then(stretch)
        return found

    def are_cut_by(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether any of them holds a part of the time from *start_ms* to *end_ms*."""
        stretches = (self.longest, *self.rising)
        return any(each.start_ms < end_ms and start_ms < each.end_ms for each in stretches)


NONE: Final = Silences()


@dataclass(slots=True)
class Quiet:
    """The silences of a call, as far as its turns were taken.

    ``due`` is each channel's next index, ``since_ms`` where whatever was heard last ends.
    """

    due: dict[Channel, int]
    since_ms: int = 0
    last: Evidence | None = None
    found: dict[_Waiting, Silences] = field(default_factory=dict)

    @classmethod
    def on(cls, channels: Iterable[Channel]) -> Quiet:
        """Begin a call that has *channels*."""
        return cls(dict.fromkeys(sorted(channels), 0))

    def copy(self) -> Quiet:
        """Return another that goes on by itself."""
        return Quiet({**self.due}, self.since_ms, self.last, {**self.found})

    def take(self, turn: Turn, holes: Holes) -> None:
        """Take the next turn; none that began earlier may follow."""
        self.until(turn.start_ms, holes)
        self._speaks(turn.channel, is_next=turn.index == self.due[turn.channel])
        self.due[turn.channel] = turn.index + 1
        self.last = turn.evidence
        self.since_ms = max(self.since_ms, turn.end_ms)

    def until(self, now_ms: int, holes: Holes) -> None:
        """Take in that nobody was heard before *now_ms*."""
        waiting = frozenset(self.due), True
        for start_ms, end_ms in holes.between(self.since_ms, now_ms):
            stretch = Stretch(start_ms, end_ms, self.last)
            self.found[waiting] = self.found.get(waiting, NONE).then(stretch)

    def are_cut_by(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether a hole from *start_ms* to *end_ms* changes what was found already."""
        return any(each.are_cut_by(start_ms, end_ms) for each in self.found.values())

    def certain(self) -> Silences:
        """Return what stays silence whatever follows."""
        return self.found.get((frozenset(), True), NONE)

    def complete(self, length_ms: int, holes: Holes) -> Silences:
        """Return all silences of a call of *length_ms*, of which everything was taken."""
        whole = self.copy()
        whole.until(max(length_ms, holes.last_ms), holes)
        found = NONE
        for each in whole.found.values():
            found = found.joined(each)
        return found

    def packed(self) -> list[object]:
        """Return this as JSON can write it."""
        found = [
            [sorted(channels), certain, [_packed(s) for s in (silences.longest, *silences.rising)]]
            for (channels, certain), silences in self.found.items()
        ]
        last = self.last and [self.last.channel, self.last.first_sample]
        return [self.due, self.since_ms, last, found]

    @classmethod
    def unpacked(cls, kept: list[Any]) -> Quiet:
        """Read what `packed` returned."""
        due, since_ms, last, found = kept
        return cls(
            {Channel(name): index for name, index in due.items()},
            since_ms,
            _evidence(last),
            {
                (frozenset(map(Channel, channels)), certain): _silences(*map(_stretch, stretches))
                for channels, certain, stretches in found
            },
        )

    def _speaks(self, channel: Channel, *, is_next: bool) -> None:
        found: dict[_Waiting, Silences] = {}
        for (channels, certain), silences in self.found.items():
            waits = channel in channels
            left = (channels - {channel}, certain and is_next) if waits else (channels, certain)
            found[left] = found[left].joined(silences) if left in found else silences
        self.found = found


def _silences(longest: Stretch, *rising: Stretch) -> Silences:
    return Silences(longest, rising)


def _stretch(kept: list[Any]) -> Stretch:
    start_ms, end_ms, before = kept
    return Stretch(start_ms, end_ms, _evidence(before))


def _packed(stretch: Stretch) -> list[object]:
    before = stretch.before and [stretch.before.channel, stretch.before.first_sample]
    return [stretch.start_ms, stretch.end_ms, before]


def _evidence(kept: list[Any] | None) -> Evidence | None:
    return Evidence(Channel(kept[0]), kept[1]) if kept else None
