"""What was not heard of a call, by channel and reason: gaps that touch are one. No I/O."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from linewatch.calls import Channel, GapReason, Missing

_32_BIT: Final = "I"
#: Begin, end, begin, end, ... in ms, each greater than the one before it: a call may have
#: thousands, and every event reads and writes them all.
_Edges = array


@dataclass(slots=True)
class Holes:
    """The holes of one call; *told* counts the gaps they were told as."""

    told: int = 0
    edges: dict[tuple[Channel, GapReason], _Edges[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, gaps: Iterable[Missing]) -> Holes:
        """Gather *gaps*, each told once, in any order."""
        holes = cls()
        for gap in gaps:
            holes.add(gap)
        return holes

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.edges.values())) // 2

    @property
    def last_ms(self) -> int:
        """Where the last one begins."""
        return max((edges[-2] for edges in self.edges.values()), default=0)

    def add(self, gap: Missing) -> None:
        """Take in a gap that was not told before."""
        self.told += 1
        edges = self.edges.setdefault((gap.key.channel, gap.reason), array(_32_BIT))
        first, after = bisect_left(edges, gap.start_ms), bisect_right(edges, gap.end_ms)
        # At an odd place lies the end of a hole that has begun before.
        start_ms = edges[first - 1] if first % 2 else gap.start_ms
        end_ms = edges[after] if after % 2 else gap.end_ms
        edges[first - first % 2 : after + after % 2] = array(_32_BIT, (start_ms, end_ms))

    def spans(self) -> Iterator[tuple[Channel, GapReason, int, int]]:
        """Yield where each begins and ends, in ms, by channel and reason."""
        for (channel, reason), edges in self.edges.items():
            for start_ms, end_ms in zip(edges[::2], edges[1::2], strict=True):
                yield channel, reason, start_ms, end_ms

    def between(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Yield each piece from *start_ms* to *end_ms* that no hole lies in, in order.

        Where nothing was sent and nothing is missing, nobody spoke: that is no hole.
        """
        at_ms = start_ms
        for hole_ms, heard_ms in sorted(self._in(start_ms, end_ms)):
            if hole_ms > at_ms:
                yield at_ms, hole_ms
            at_ms = max(at_ms, heard_ms)
        if end_ms > at_ms:
            yield at_ms, end_ms

    def _in(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        unheard = (edges for (_, why), edges in self.edges.items() if why is not GapReason.SILENT)
        for edges in unheard:
            first, after = bisect_right(edges, start_ms), bisect_left(edges, end_ms)
            found = edges[first - first % 2 : after + after % 2]
            yield from zip(found[::2], found[1::2], strict=True)

    def packed(self) -> list[object]:
        """Return this as JSON can write it."""
        texts = {f"{at}|{why}": _text(edges) for (at, why), edges in self.edges.items()}
        return [self.told, texts]

    @classmethod
    def unpacked(cls, told: int, texts: Mapping[str, str]) -> Holes:
        """Read what `packed` returned."""
        names = {name: name.split("|") for name in texts}
        return cls(
            told,
            {(Channel(at), GapReason(why)): _edges(texts[n]) for n, (at, why) in names.items()},
        )


# In the machine's byte order: x86 and ARM, which may share a Redis, have the same.
def _text(edges: _Edges[int]) -> str:
    return b64encode(edges.tobytes()).decode()


def _edges(text: str) -> _Edges[int]:
    edges = array(_32_BIT)
    edges.frombytes(b64decode(text))
    return edges
