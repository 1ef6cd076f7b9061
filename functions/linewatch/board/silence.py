"""When nobody spoke. No I/O.

A score may still be on its way, so the time between two known utterances is
silent for certain only if their indexes follow each other, or if the call
ended and all of it is known. Only such silence counts: it stays true whatever
is told later, which makes it independent of the order of telling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from linewatch.board.facts import CallFacts
from linewatch.calls import Channel, Score


class Stretch(NamedTuple):
    """A piece of a call, in milliseconds since its first sample."""

    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.end_ms - self.start_ms


def silences(facts: CallFacts) -> list[Stretch]:
    """Return every stretch in which no channel was heard speaking, oldest first.

    What was not heard at all (a gap) is no silence.
    """
    quiet: list[Stretch] | None = None
    for channel in sorted(facts.channels):
        own = _quiet(facts, channel)
        quiet = own if quiet is None else _overlaps(quiet, own)
    return quiet or []


def longest_ms(stretches: Iterable[Stretch]) -> int:
    """Return the length of the longest of *stretches*; 0 if there are none."""
    return max((each.length_ms for each in stretches), default=0)


def _quiet(facts: CallFacts, channel: Channel) -> list[Stretch]:
    unheard = [
        Stretch(gap.start_ms, gap.end_ms) for gap in facts.gaps if gap.key.channel == channel
    ]
    return _without(_between(facts, facts.on(channel)), unheard)


def _between(facts: CallFacts, said: Sequence[Score]) -> list[Stretch]:
    complete = facts.is_complete
    found = []
    if complete and facts.length_ms is not None:
        found.append(Stretch(max((each.end_ms for each in said), default=0), facts.length_ms))
    if said and (complete or said[0].index == 0):
        found.append(Stretch(0, said[0].start_ms))
    for before, after in pairwise(said):
        if complete or after.index == before.index + 1:
            found.append(Stretch(before.end_ms, after.start_ms))
    return sorted(each for each in found if each.length_ms > 0)


def _overlaps(ours: Sequence[Stretch], theirs: Sequence[Stretch]) -> list[Stretch]:
    found = []
    one = other = 0
    while one < len(ours) and other < len(theirs):
        a, b = ours[one], theirs[other]
        both = Stretch(max(a.start_ms, b.start_ms), min(a.end_ms, b.end_ms))
        if both.length_ms > 0:
            found.append(both)
        if a.end_ms <= b.end_ms:
            one += 1
        else:
            other += 1
    return found


def _without(stretches: list[Stretch], holes: Iterable[Stretch]) -> list[Stretch]:
    left = stretches
    for hole in holes:
        parts = (
            part
            for each in left
            for part in (
                Stretch(each.start_ms, min(each.end_ms, hole.start_ms)),
                Stretch(max(each.start_ms, hole.end_ms), each.end_ms),
            )
        )
        left = [part for part in parts if part.length_ms > 0]
    return left
