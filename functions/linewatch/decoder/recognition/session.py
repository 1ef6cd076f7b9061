"""A session: the pure fold of one channel's numbered steps. No I/O, no clock.

Everything follows from the checkpoint and the samples alone, never from how they were
cut into chunks. So any pod that replays the tail (the steps since the last edge)
goes on with byte-equal utterances.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from linewatch.calls import (
    Channel,
    ChannelKey,
    Chunk,
    Gap,
    GapReason,
    Missing,
    Step,
    Utterance,
    Word,
)
from linewatch.decoder.recognition.frontend import Frontend, Samples, milliseconds, pcm, quantum_end
from linewatch.decoder.recognition.gate import Gate, frame_end
from linewatch.decoder.recognition.lengths import IDLE_FRAMES, PRE_ROLL_MS, TAIL_MS, UTTERANCE_MS
from linewatch.decoder.recognition.recognizer import Recognizer, Recognizers
from linewatch.errors import BadChunk

_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What must be known to go on from an edge, beside the tail.

    ``first_sample`` is where the audio still needed begins (the gate's pre-roll),
    ``edge_sample`` where the gate begins anew; ``edges`` counts the edges passed,
    ``index`` the utterances with words in them.
    """

    first_sample: int = 0
    edge_sample: int = 0
    edges: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge: the *checkpoint* after it, and what it brought.

    *drop* leading steps of the tail are no longer needed.
    """

    checkpoint: Checkpoint
    utterance: Utterance | None
    missing: Missing | None
    drop: int
    ended: bool = False


class _Speech:
    """The utterance going on: one recognizer, fed in quanta, made when it is first fed."""

    def __init__(self, first_sample: int, rate_hz: int, recognizers: Recognizers) -> None:
        self.first_sample = first_sample
        self.fed_to = first_sample
        self._rate_hz = rate_hz
        self._recognizers = recognizers
        self._frontend = Frontend(first_sample, rate_hz)
        self._recognizer: Recognizer | None = None
        self._quanta = 0

    @property
    def next_end(self) -> int:
        """Where the next quantum ends."""
        return quantum_end(self.first_sample, self._quanta + 1, self._rate_hz)

    def feed(self, quantum: Samples) -> bool:
        """Hear one whole quantum; tell whether the speaker made an end."""
        self.fed_to = self.next_end
        self._quanta += 1
        return self._heard_by().accept(self._frontend.feed(quantum))

    def partial(self) -> str:
        """Return the words so far."""
        return self._recognizer.partial() if self._recognizer else ""

    def finish(self, rest: Samples) -> tuple[Word, ...]:
        """Hear *rest*, less than a quantum, and return the words in ms of the call."""
        if self._recognizer is None and not len(rest):
            return ()
        self._heard_by().accept(self._frontend.feed(rest, last=True))
        began_ms = milliseconds(self.first_sample, self._rate_hz)
        return tuple(
            replace(word, start_ms=began_ms + word.start_ms, end_ms=began_ms + word.end_ms)
            for word in self._heard_by().final()
        )

    def _heard_by(self) -> Recognizer:
        if self._recognizer is None:
            self._recognizer = self._recognizers.fresh()
        return self._recognizer


class _Heard:
    """The samples that may still be needed, by position."""

    def __init__(self, position: int) -> None:
        self._begin = position
        self._samples: Samples = np.empty(0, np.int16)

    def append(self, samples: Samples) -> None:
        self._samples = np.concatenate((self._samples, samples))

    def cut(self, begin: int, end: int) -> Samples:
        return self._samples[begin - self._begin : end - self._begin]

    def forget(self, before: int) -> None:
        self._samples = self._samples[max(0, before - self._begin) :]
        self._begin = max(self._begin, before)


class Session:
    """One channel of one call, from a checkpoint on.

    A restored session is made from the checkpoint and accepts the steps of the tail
    in order; samples before the checkpoint's first are skipped.

    Args:
        key: Whose channel it is; a mixed one has no voice gate.
        started_at_ms: When the call's first sample was heard.
        rate_hz: Samples a second, 8,000 to 48,000.
        recognizers: The loaded model.
        checkpoint: Where to go on.
    """

    def __init__(
        self,
        key: ChannelKey,
        started_at_ms: int,
        rate_hz: int,
        recognizers: Recognizers,
        checkpoint: Checkpoint = Checkpoint(),
    ) -> None:
        self.rate_hz: Final = rate_hz
        self._key = key
        self._started_at_ms = started_at_ms
        self._recognizers = recognizers
        self._tail: deque[int] = deque()
        self._ended = False
        self._checkpoint = checkpoint
        self._next = checkpoint.first_sample
        self._heard = _Heard(self._next)
        self._gate: Gate | None = None
        self._speech: _Speech | None = None
        self._frames = 0
        self._frame_begin = 0
        self._begin_anew()

    @property
    def partial(self) -> str:
        """The words of the utterance going on; empty while nobody speaks."""
        return self._speech.partial() if self._speech else ""

    @property
    def next_position(self) -> int:
        """Position of the next sample expected."""
        return self._next

    @property
    def checkpoint(self) -> Checkpoint:
        """The state after the last edge."""
        return self._checkpoint

    def accept(self, step: Step) -> list[Edge]:
        """Take the next step and return the edges it passes, in order.

        Raises:
            BadChunk: the chunk has another rate than the session.
        """
        if self._ended:
            return []
        if isinstance(step, Chunk):
            return self._chunk(step)
        if isinstance(step, Gap):
            return [self._gap(step.position, step.reason, step_ends=True)]
        self._tail.append(self._next)
        self._ended = True
        return [self._edge(self._next, self._next)]

    def _chunk(self, chunk: Chunk) -> list[Edge]:
        if chunk.rate_hz != self.rate_hz:
            raise BadChunk(f"this channel has {self.rate_hz} Hz: send no chunk of {chunk.rate_hz}")
        edges = []
        if chunk.position > self._next:
            edges.append(self._gap(chunk.position, GapReason.LOST))
        samples = pcm(chunk.codec, chunk.audio)[max(0, self._next - chunk.position) :]
        self._heard.append(samples)
        self._next += len(samples)
        self._tail.append(self._next)
        edges.extend(self._advance())
        self._heard.forget(self._needed_from())
        return edges

    def _gap(self, position: int, reason: GapReason, *, step_ends: bool = False) -> Edge:
        begin, end = self._next, max(position, self._next)
        missing = Missing(
            self._key, self._started_at_ms, begin, self._ms(begin), self._ms(end), reason
        )
        if step_ends:
            self._tail.append(end)
        edge = self._edge(begin, end, missing=missing if end > begin else None)
        self._next = end
        self._heard = _Heard(end)
        return edge

    def _advance(self) -> Iterator[Edge]:
        """Pass every boundary of a frame or a quantum that was reached, in order."""
        while True:
            frame = self._frame_end()
            quantum = self._speech.next_end if self._speech else _NEVER
            if min(frame, quantum) > self._next:
                return
            edge = self._pass_frame(frame) if frame <= quantum else self._pass_quantum(quantum)
            if edge:
                yield edge

    def _pass_frame(self, end: int) -> Edge | None:
        assert self._gate
        self._gate.hear(self._heard.cut(self._frame_begin, end))
        self._frame_begin = end
        self._frames += 1
        if self._speech:
            return None if self._gate.is_open else self._edge(end, end)
        pre_roll = max(self._checkpoint.first_sample, end - PRE_ROLL_MS * self.rate_hz // 1000)
        if self._gate.is_open:
            self._speech = _Speech(pre_roll, self.rate_hz, self._recognizers)
        elif self._frames >= IDLE_FRAMES:
            return self._edge(end, end, first_sample=pre_roll)
        return None

    def _pass_quantum(self, end: int) -> Edge | None:
        assert self._speech
        endpoint = self._speech.feed(self._heard.cut(self._speech.fed_to, end))
        return self._edge(end, end) if endpoint or self._is_long(end) else None

    def _is_long(self, end: int) -> bool:
        assert self._speech
        spoken, tail = end - self._speech.first_sample, end - self._checkpoint.first_sample
        return self._ms(spoken) >= UTTERANCE_MS or self._ms(tail) >= TAIL_MS

    def _edge(
        self,
        at: int,
        go_on_at: int,
        *,
        first_sample: int | None = None,
        missing: Missing | None = None,
    ) -> Edge:
        utterance = self._finish(at)
        self._checkpoint = Checkpoint(
            go_on_at if first_sample is None else first_sample,
            go_on_at,
            self._checkpoint.edges + 1,
            self._checkpoint.index + (utterance is not None),
        )
        self._begin_anew()
        return Edge(self._checkpoint, utterance, missing, self._drop(), self._ended)

    def _finish(self, at: int) -> Utterance | None:
        speech, self._speech = self._speech, None
        words = speech.finish(self._heard.cut(speech.fed_to, at)) if speech else ()
        if not speech or not words:
            return None
        return Utterance(
            key=self._key,
            started_at_ms=self._started_at_ms,
            index=self._checkpoint.index,
            first_sample=speech.first_sample,
            start_ms=words[0].start_ms,
            end_ms=max(words[0].start_ms, words[-1].end_ms),
            text=" ".join(word.text for word in words),
            words=words,
            digest=self._recognizers.digest,
        )

    def _begin_anew(self) -> None:
        edge = self._checkpoint.edge_sample
        gated = self._key.channel is not Channel.MIXED
        self._gate = Gate(self.rate_hz) if gated else None
        self._frames, self._frame_begin = 0, edge
        self._speech = None if gated else _Speech(edge, self.rate_hz, self._recognizers)

    def _frame_end(self) -> int:
        if self._gate is None:
            return _NEVER
        return frame_end(self._checkpoint.edge_sample, self._frames + 1, self.rate_hz)

    def _needed_from(self) -> int:
        if self._gate is None:
            return self._speech.fed_to if self._speech else self._next
        if self._speech:
            return min(self._frame_begin, self._speech.fed_to)
        pre_roll = self._frame_begin - PRE_ROLL_MS * self.rate_hz // 1000
        return max(self._checkpoint.first_sample, pre_roll)

    def _drop(self) -> int:
        before = len(self._tail)
        while self._tail and self._tail[0] <= self._checkpoint.first_sample:
            self._tail.popleft()
        return before - len(self._tail)

    def _ms(self, samples: int) -> int:
        return milliseconds(samples, self.rate_hz)
