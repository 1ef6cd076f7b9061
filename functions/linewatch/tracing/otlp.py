"""Spans to a collector by OTLP/HTTP; needs the ``tracing`` extra.

A thread sends them every few seconds. Where the collector is away or slow they
are dropped, and the work they tell of never notices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from linewatch import __version__
from linewatch.tracing.spans import Span, ids_of

EXPORT_S: Final = 2.0
#: No more than one batch waits, so that a stop takes two exports at most.
_WAITING: Final = 512


class _Ids(NamedTuple):
    trace: int
    span: int


class _Given(IdGenerator, threading.local):
    """Gives the next span of this thread the ids it was told."""

    ids = _Ids(0, 0)

    def generate_trace_id(self) -> int:
        return self.ids.trace

    def generate_span_id(self) -> int:
        return self.ids.span


class Otlp:
    """A `Tracer` that sends to the collector at *endpoint*.

    The library reads other settings by itself: ``OTEL_EXPORTER_OTLP_HEADERS``,
    ``OTEL_TRACES_SAMPLER`` and the like.
    """

    is_on = True

    def __init__(
        self, endpoint: str, service: str, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._given = _Given()
        self._now_ns = now_ns
        resource = Resource.create({"service.name": service, "service.version": __version__})
        exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_S)
        self._provider = TracerProvider(resource=resource, id_generator=self._given)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_WAITING, max_export_batch_size=_WAITING)
        )
        self._tracer = self._provider.get_tracer("linewatch", __version__)

    def now_ns(self) -> int:
        """Return the present in ns since 1970."""
        return self._now_ns()

    def tell(self, span: Span) -> None:
        """Have *span* sent; one without ids cannot be."""
        ids = _ids_of(span.traceparent)
        if ids is None:
            return
        self._given.ids = ids
        made = self._tracer.start_span(
            span.name,
            context=_under(_ids_of(span.parent), ids),
            start_time=span.began_ns,
            attributes=span.attributes,
        )
        made.end(self._now_ns())

    def close(self) -> None:
        """Send what waits and stop; at its end a process does that by itself."""
        self._provider.shutdown()


def _ids_of(traceparent: str) -> _Ids | None:
    ids = ids_of(traceparent)
    return _Ids(*(int(each, 16) for each in ids)) if ids else None


def _under(parent: _Ids | None, own: _Ids) -> Context:
    if parent is None or parent.trace != own.trace:
        return Context()
    context = SpanContext(
        parent.trace, parent.span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(context), Context())
