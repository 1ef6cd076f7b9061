"""The last seconds of a channel's steps, and which of them the decoder has.

Steps stay whether acknowledged or not: a Redis that failed over may have
forgotten what was acknowledged, and then asks for it again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from linewatch.calls import Chunk, Gap, GapReason, Step

#: A sender that overruns again before a whole span went by cannot keep up: it keeps this part.
_KEPT_PART: Final = 6


class Ring:
    """At least the newest *span_samples* of one channel, by sequence number.

    The send mark is the number of the step to send next. Without I/O and
    without locks: its owner guards it.
    """

    def __init__(self, stream: str, span_samples: int, *, seq: int = 0, position: int = 0) -> None:
        self._stream = stream
        self._span_samples = span_samples
        self._steps: deque[Step] = deque()
        self._held_samples = 0
        self._first_seq = seq
        self._first_position = position
        self._mark = seq
        self._acknowledged = seq
        self._begins = False
        self._overrun: Gap | None = None
        self._overran_at: int | None = None

    @property
    def first_seq(self) -> int:
        """The oldest step that is still held."""
        return self._first_seq

    @property
    def next_seq(self) -> int:
        """The number the next step gets."""
        return self._first_seq + len(self._steps)

    @property
    def mark(self) -> int:
        """The number of the step to send next."""
        return self._mark

    @property
    def waiting(self) -> int:
        """How many steps were not yet acknowledged."""
        return self.next_seq - self._mark

    def add(self, step: Step) -> None:
        """Hold *step*, which must be numbered `next_seq`, and let go of what is too old."""
        self._steps.append(step)
        self._held_samples += _samples(step)
        while self._held_samples - _samples(self._steps[0]) >= self._span_samples:
            self._let_go()

    def _let_go(self) -> None:
        oldest = self._steps.popleft()
        self._held_samples -= _samples(oldest)
        self._first_seq += 1
        if isinstance(oldest, Chunk | Gap):
            self._first_position = _end_position(oldest)

    def due(self) -> Step | None:
        """Return what to send now, None when the decoder has everything.

        That is a gap where the ring no longer holds the step at the mark:
        ``lost`` when the decoder had it once, ``overrun`` when it never did.
        """
        if self._begins:
            return self._oldest_chunk()
        if self._mark >= self.next_seq:
            return None
        if self._mark >= self._first_seq:
            return self._steps[self._mark - self._first_seq]
        if self._mark < self._acknowledged:
            return self._gap(GapReason.LOST)
        self._catch_up()
        self._overrun = self._gap(GapReason.OVERRUN)
        return self._overrun

    def _gap(self, reason: GapReason) -> Gap:
        return Gap(self._mark, self._first_seq, self._first_position, self._stream, reason)

    def _catch_up(self) -> None:
        """Let go of one long piece where piece by piece would make a gap of each chunk."""
        before = self._overran_at
        if before is not None and self._first_position - before < self._span_samples:
            while len(self._steps) > 1 and self._held_samples > self._span_samples // _KEPT_PART:
                self._let_go()

    def rewind(self, next_seq: int) -> bool:
        """Move the mark, back or ahead, to what the decoder asks for.

        Returns:
            False when that number was never given to a step, so that the
            decoder speaks of another sender; the mark then stays.
        """
        if not 0 <= next_seq <= self.next_seq:
            return False
        self._mark = next_seq
        self._begins = False
        return True

    def begin_with_audio(self) -> bool:
        """Make the oldest chunk that is held due, until `rewind`; tell whether there is one."""
        self._begins = self._oldest_chunk() is not None
        return self._begins

    def _oldest_chunk(self) -> Chunk | None:
        return next((step for step in self._steps if isinstance(step, Chunk)), None)

    def acknowledge(self, next_seq: int) -> bool:
        """Take the decoder's word that it has every step below *next_seq*; see `rewind`."""
        moved = self.rewind(next_seq)
        if moved:
            self._acknowledged = max(self._acknowledged, next_seq)
            if self._overrun and self._overrun.next_seq <= next_seq:
                self._overran_at, self._overrun = self._overrun.position, None
        return moved


def _samples(step: Step) -> int:
    return step.samples if isinstance(step, Chunk) else 0


def _end_position(step: Chunk | Gap) -> int:
    return step.end_position if isinstance(step, Chunk) else step.position
