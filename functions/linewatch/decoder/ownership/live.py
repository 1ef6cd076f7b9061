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
    GapReason,
    Missing,
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

    *last_final* is the first sample of its last final, none where that is not known;
    *release* asks for it to be given up at its next edge; *unheard* is a step of which the
    store did not tell whether it took it.
    """

    key: ChannelKey
    epoch: int
    session: Session
    stream: str
    next_seq: int
    ended: bool = False
    release: bool = False
    partial: str = ""
    last_final: int | None = None
    unheard: Step | None = None

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
        begin, end = stored.checkpoint.first_sample, stored.next_position
        begin_ms, end_ms = (milliseconds(each, stored.rate_hz) for each in (begin, end))
        missing = Missing(key, stored.started_at_ms, begin, begin_ms, end_ms, GapReason.UNDECODABLE)
        after = Checkpoint(end, end, stored.checkpoint.edges + 1, stored.checkpoint.index)
        ends = [step for step in tail if isinstance(step, End)]
        skipped = missing if end > begin else None
        edge = Edge(after, None, skipped, drop=len(tail), ended=bool(ends))
        self._pass(live, edge, str(ends[0].reason) if ends else "")
        live.session = self._session(key, stored, after)
        return live

    def _open(self, key: ChannelKey, stored: Stored) -> Live:
        session = self._session(key, stored, stored.checkpoint)
        return Live(key, stored.epoch, session, stored.stream, stored.next_seq, bool(stored.ended))

    def _session(self, key: ChannelKey, stored: Stored, checkpoint: Checkpoint) -> Session:
        return Session(key, stored.started_at_ms, stored.rate_hz, self._recognizers, checkpoint)

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
