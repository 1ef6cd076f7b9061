"""A session: the pure fold of one channel's numbered steps. No I/O, no clock.

Everything follows from the checkpoint and the samples alone, never from how they were
cut into chunks. So any pod that replays the tail (the steps since the last edge)
goes on with byte-equal utterances.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from linewatch.calls import (
    Channel,
    ChannelKey,
    Chunk,
    Gap,
    GapReason,
    Missing,
    Resume,
    Step,
    Utterance,
)
from linewatch.decoder.recognition.frontend import milliseconds, pcm
from linewatch.decoder.recognition.gate import Gate, frame_end
from linewatch.decoder.recognition.lengths import IDLE_FRAMES, PRE_ROLL_MS, TAIL_MS, UTTERANCE_MS
from linewatch.decoder.recognition.recognizer import Recognizers
from linewatch.decoder.recognition.speech import Heard, Speech
from linewatch.decoder.recognition.timeline import Origin, Timeline

_NEVER: Final = 1 << 62
#: Two rates do not meet at each millisecond: less than this between them is nothing lost.
_NOTHING_MS: Final = 10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What must be known to go on from an edge, beside the tail.

    ``first_sample`` is where the audio still needed begins (the gate's pre-roll),
    ``edge_sample`` where the gate begins anew, both as the sender counts from ``origin`` on;
    ``edges`` counts the edges passed, ``index`` the utterances with words in them.
    """

    first_sample: int = 0
    edge_sample: int = 0
    edges: int = 0
    index: int = 0
    origin: Origin = Origin()


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


class Session:
    """One channel of one call, from a checkpoint on.

    A restored session is made from the checkpoint and accepts the steps of the tail
    in order; samples that were heard already are skipped.

    Args:
        key: Whose channel it is; a mixed one has no voice gate.
        started_at_ms: When the call's first sample was heard.
        rate_hz: Samples a second that the channel began with, 8,000 to 48,000.
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
        self._named_hz = rate_hz
        self._timeline = Timeline(rate_hz, checkpoint.origin)
        self._key = key
        self._started_at_ms = started_at_ms
        self._recognizers = recognizers
        self._tail: deque[int] = deque()
        self._ended = False
        self._deaf = False
        self._checkpoint = checkpoint
        self._next = checkpoint.first_sample
        self._heard = Heard(self._next)
        self._gate: Gate | None = None
        self._speech: Speech | None = None
        self._frames = 0
        self._frame_begin = 0
        self._begin_anew()

    @property
    def rate_hz(self) -> int:
        """Samples a second, as the channel goes on."""
        return self._timeline.rate_hz

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

    def base_of(self, chunk: Chunk) -> int:
        """Return what must lie at or before *chunk*'s position: as the chunk counts."""
        if chunk.rate_hz == self.rate_hz:
            return self._next
        return chunk.position - self._lost_ms(chunk) * chunk.rate_hz // 1000

    def accept(self, step: Step) -> list[Edge]:
        """Take the next step and return the edges it passes, in order."""
        if isinstance(step, Resume):
            return [self._resume(step)]
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
        if chunk.rate_hz == self.rate_hz and chunk.end_position <= self._next:
            return []
        edges = []
        if chunk.rate_hz != self.rate_hz:
            edges.append(self._change_rate(chunk))
        elif chunk.position > self._next and self._is_new:
            edges.append(self._join(chunk.position))
        elif chunk.position > self._next:
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
        away_ms = self._timeline.ms(end) - self._timeline.ms(begin)
        missing = self._missing(begin, away_ms, reason) if end > begin else None
        if step_ends:
            self._tail.append(end)
        edge = self._edge(begin, end, missing=missing)
        self._go_on(end)
        return edge

    def _missing(self, begin: int, away_ms: int, reason: GapReason) -> Missing:
        sample, start_ms = self._timeline.sample(begin), self._timeline.ms(begin)
        return Missing(self._key, self._started_at_ms, sample, start_ms, start_ms + away_ms, reason)

    def _go_on(self, position: int) -> None:
        self._next = position
        self._heard = Heard(position)

    @property
    def _is_new(self) -> bool:
        """Whether nothing was told of this channel: it may begin anywhere in its call."""
        return self._checkpoint == Checkpoint() and self._next == 0

    def _join(self, position: int) -> Edge:
        edge = self._edge(self._next, position)
        self._go_on(position)
        return edge

    def _resume(self, step: Resume) -> Edge:
        self._ended = False
        self._tail.append(self._next)
        return self._begin_count(step.position, self.rate_hz, step.away_ms, step.reason)

    def _change_rate(self, chunk: Chunk) -> Edge:
        lost_ms = self._lost_ms(chunk)
        return self._begin_count(chunk.position, chunk.rate_hz, lost_ms, GapReason.LOST)

    def _lost_ms(self, chunk: Chunk) -> int:
        """Return how much lies between what was heard and a chunk of another rate.

        One that counts from anew goes on where the last one ended.
        """
        lost_ms = chunk.position * 1000 // chunk.rate_hz - self._next * 1000 // self.rate_hz
        return lost_ms if lost_ms >= _NOTHING_MS else 0

    def _begin_count(self, position: int, rate_hz: int, away_ms: int, reason: GapReason) -> Edge:
        """Go on with another count of samples, *away_ms* after the last one ended."""
        begin = self._next
        origin = self._timeline.after(begin, away_ms, position, rate_hz)
        missing = self._missing(begin, away_ms, reason) if away_ms else None
        # Their positions are the old count's; none of them is needed any more.
        self._tail = deque([0] * len(self._tail))
        edge = self._edge(begin, position, missing=missing, origin=origin)
        self._go_on(position)
        return edge

    def park(self) -> Edge:
        """Pass an edge here, with the words so far: whoever goes on needs no tail."""
        return self._edge(self._next, self._next)

    def pass_over(self, steps: Sequence[Step]) -> Edge:
        """Pass one edge behind *steps*, the whole tail, without hearing them."""
        before, begin_ms = self._checkpoint, self._timeline.ms(self._checkpoint.first_sample)
        begin = self._timeline.sample(before.first_sample)
        self._deaf = True
        for step in steps:
            self.accept(step)
        end_ms = self._timeline.ms(self._next)
        missing = Missing(
            self._key, self._started_at_ms, begin, begin_ms, end_ms, GapReason.UNDECODABLE
        )
        origin = self._checkpoint.origin
        after = Checkpoint(self._next, self._next, before.edges + 1, before.index, origin)
        skipped = missing if end_ms > begin_ms else None
        return Edge(after, None, skipped, drop=len(steps), ended=self._ended)

    def _advance(self) -> Iterator[Edge]:
        """Pass every boundary of a frame or a quantum that was reached, in order."""
        while not self._deaf:
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
            self._speech = Speech(pre_roll, self.rate_hz, self._recognizers)
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
        limits = ((spoken, UTTERANCE_MS), (tail, TAIL_MS))
        return any(milliseconds(samples, self.rate_hz) >= most for samples, most in limits)

    def _edge(
        self,
        at: int,
        go_on_at: int,
        *,
        first_sample: int | None = None,
        missing: Missing | None = None,
        origin: Origin | None = None,
    ) -> Edge:
        utterance = self._finish(at)
        self._checkpoint = Checkpoint(
            go_on_at if first_sample is None else first_sample,
            go_on_at,
            self._checkpoint.edges + 1,
            self._checkpoint.index + (utterance is not None),
            origin or self._checkpoint.origin,
        )
        self._timeline = Timeline(self._named_hz, self._checkpoint.origin)
        self._begin_anew()
        return Edge(self._checkpoint, utterance, missing, self._drop(), self._ended)

    def _finish(self, at: int) -> Utterance | None:
        speech, self._speech = self._speech, None
        if not speech or self._deaf:
            return None
        began_ms = self._timeline.ms(speech.first_sample)
        words = speech.finish(self._heard.cut(speech.fed_to, at), began_ms)
        if not words:
            return None
        return Utterance(
            key=self._key,
            started_at_ms=self._started_at_ms,
            index=self._checkpoint.index,
            first_sample=self._timeline.sample(speech.first_sample),
            start_ms=words[0].start_ms,
            end_ms=max(words[0].start_ms, words[-1].end_ms),
            text=" ".join(word.text for word in words),
            words=words,
            digest=self._recognizers.digest,
        )

    def _begin_anew(self) -> None:
        edge = self._checkpoint.edge_sample
        gated = self._key.channel != Channel.MIXED
        self._gate = Gate(self.rate_hz) if gated else None
        self._frames, self._frame_begin = 0, edge
        self._speech = None if gated else Speech(edge, self.rate_hz, self._recognizers)

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
