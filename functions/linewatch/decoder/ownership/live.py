"""A session in this pod's memory, and how it hears a committed step."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from linewatch import events
from linewatch.calls import (
    ChannelKey,
    Chunk,
    End,
    Gap,
    GapReason,
    Resume,
    Step,
    Utterance,
    first_seq,
)
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.decoder.recognition.frontend import milliseconds
from linewatch.decoder.recognition.recognizer import Recognizers
from linewatch.decoder.recognition.session import Checkpoint, Edge, Session
from linewatch.decoder.store.answers import Stored, final_of
from linewatch.decoder.store.store import Store
from linewatch.errors import SessionMoved
from linewatch.tracing.spans import OFF, Span, Tracer, traceparent_of


@dataclass(slots=True)
class Live:
    """A session this pod owns. Whoever touches it holds its lock.

    Nothing came for *away_ms* until it was claimed; it may be *parked* since. *last_final* is
    the first sample of its last final, none where that is not known;
    *release* asks for it to be given up at its next edge; *unheard* is a step of which the
    store did not tell whether it took it.
    """

    key: ChannelKey
    epoch: int
    session: Session
    stream: str
    next_seq: int
    ended: bool = False
    parked: bool = False
    paused: bool = False
    away_ms: int = 0
    release: bool = False
    partial: str = ""
    last_final: int | None = None
    unheard: Step | None = None

    def resume(self, step: Step) -> Resume | None:
        """Return what must be put before *step* where nothing came for a while; mostly nothing."""
        if self.ended and step.stream != self.stream:
            return self._come_back(step)
        if not self.parked or not isinstance(step, Chunk):
            return None
        away_ms = self.away_ms - milliseconds(step.samples, step.rate_hz)
        here = self.session.next_position
        is_whole = step.rate_hz != self.session.rate_hz or step.position == here
        # A position further on tells by itself what is missing.
        return self._after(step, here, away_ms) if is_whole and away_ms > 0 else None

    def _come_back(self, step: Step) -> Resume | None:
        """Let a leg that ended go on: its new stream counts on, or from anew."""
        here = self.session.next_position
        if isinstance(step, Gap):
            return self._after(step, min(here, step.position), 0)
        if not isinstance(step, Chunk):
            return None
        away_ms = max(0, self.away_ms - milliseconds(step.samples, step.rate_hz))
        if step.rate_hz != self.session.rate_hz:
            return self._after(step, here, away_ms)
        if step.position > here:
            away_ms = milliseconds(step.position - here, step.rate_hz)
        return self._after(step, step.position, away_ms)

    def _after(self, step: Step, position: int, away_ms: int) -> Resume:
        reason = GapReason.PAUSED if self.paused else GapReason.SILENT
        return Resume(first_seq(step), position, step.stream, away_ms, reason)

    def base(self, step: Step, resume: Resume | None) -> int | None:
        """Return where the channel stands as *step* counts, if that is another count."""
        if resume and (not isinstance(step, Chunk) or step.rate_hz == self.session.rate_hz):
            return resume.position
        if isinstance(step, Chunk) and step.rate_hz != self.session.rate_hz:
            return self.session.base_of(step)
        return None

    def go_on(self, stream: str, next_seq: int) -> None:
        """Note that the store took a step."""
        self.stream, self.next_seq = stream, next_seq
        self.ended = self.parked = False

    def lacks(self, step: Step) -> bool:
        """Tell whether *step* is the next; one sent again was heard already."""
        return step.stream != self.stream or first_seq(step) == self.next_seq


@dataclass(slots=True)
class Outcome:
    """What hearing a step brought: finals as replies show them, and edges passed."""

    finals: list[dict[str, Any]] = field(default_factory=list)
    edges: int = 0


class SessionDecoder:
    """Decodes steps and commits the edges they pass.

    Args:
        store: Takes the edges.
        recognizers: The loaded model.
        metrics: Counted into.
        watchdog: Ends the process when a decode hangs.
        decoders: How many may decode at once: the cores.
        tracer: Told of every utterance.
    """

    def __init__(
        self,
        store: Store,
        recognizers: Recognizers,
        metrics: Metrics,
        watchdog: Watchdog,
        decoders: int,
        *,
        tracer: Tracer = OFF,
    ) -> None:
        self._store = store
        self._recognizers = recognizers
        self._metrics = metrics
        self._watchdog = watchdog
        self._tracer = tracer
        self._decoding = threading.BoundedSemaphore(decoders)

    def hear(self, live: Live, steps: Iterable[Step]) -> Outcome:
        """Decode *steps*, which are committed, and commit their edges.

        Raises:
            SessionMoved: another pod owns the session by now.
            StoreUnavailable: an edge may or may not have been committed.
        """
        outcome = Outcome()
        for step in steps:
            began_ns = self._tracer.now_ns()
            for edge in self._decode(live, step):
                self._pass(live, edge, str(step.reason) if isinstance(step, End) else "")
                if edge.utterance and self._tracer.is_on:
                    self._tell(edge.utterance, began_ns)
                outcome.edges += 1
                outcome.finals += [final_of(edge.utterance)] if edge.utterance else []
        if outcome.finals:
            live.last_final = outcome.finals[-1]["first_sample"]
        return outcome

    def restore(self, key: ChannelKey, stored: Stored, tail: tuple[Step, ...]) -> Live:
        """Replay *tail* from the checkpoint: the result is what its last owner had."""
        live = self._open(key, stored)
        with self._metrics.replay_s.time():
            self.hear(live, tail)
        return live

    def skip(self, key: ChannelKey, stored: Stored, tail: tuple[Step, ...]) -> Live:
        """Move past *tail* without decoding it: it killed every decoder that did."""
        live = self._open(key, stored)
        edge = live.session.pass_over(tail)
        ends = [step for step in tail if isinstance(step, End)]
        self._pass(live, edge, str(ends[-1].reason) if edge.ended else "")
        live.session = self._session(key, stored, edge.checkpoint)
        return live

    def _open(self, key: ChannelKey, stored: Stored) -> Live:
        session = self._session(key, stored, stored.checkpoint)
        return Live(
            *(key, stored.epoch, session, stored.stream, stored.next_seq, bool(stored.ended)),
            parked=stored.parked,
            paused=stored.paused,
            away_ms=stored.away_ms,
        )

    def _session(self, key: ChannelKey, stored: Stored, checkpoint: Checkpoint) -> Session:
        return Session(key, stored.started_at_ms, stored.rate_hz, self._recognizers, checkpoint)

    def park(self, live: Live, after_s: float) -> bool:
        """Tell the words so far; tell whether the session was parked, or a step came first."""
        edge = live.session.park()
        if not self._store.pass_edge(live.key, live.epoch, edge, park_after_s=after_s):
            return False
        self._metrics.utterances.inc(edge.utterance is not None)
        return True

    def _decode(self, live: Live, step: Step) -> list[Edge]:
        watched = self._watchdog.watching(_audio_s(step))
        with self._decoding, watched, self._metrics.decode_s.time():
            edges = live.session.accept(step)
            live.partial = live.session.partial
        return edges

    def _pass(self, live: Live, edge: Edge, end_reason: str) -> None:
        if not self._store.pass_edge(live.key, live.epoch, edge, end_reason):
            raise SessionMoved("another pod took the call over: send again")
        live.ended = live.ended or edge.ended
        self._metrics.utterances.inc(edge.utterance is not None)
        if edge.missing:
            self._metrics.gaps.labels(edge.missing.reason).inc()

    def _tell(self, utterance: Utterance, began_ns: int) -> None:
        """Tell a span from the chunk that ended *utterance* to the commit of its event."""
        said = traceparent_of(events.utterance_final(utterance))
        self._tracer.tell(Span("utterance", said, began_ns))


def _audio_s(step: Step) -> float:
    """Return how much audio *step* holds, in seconds."""
    return step.samples / step.rate_hz if isinstance(step, Chunk) else 0.0
