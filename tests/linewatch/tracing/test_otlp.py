"""Spans on the wire: their ids, parents and times, and collectors that fail."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from infra.launcher.redis_server import free_port
from linewatch.tracing import otlp
from linewatch.tracing.otlp import Otlp
from linewatch.tracing.spans import Span, child_of, ids_of
from tests.support.otlp_receiver import collector

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHILD = child_of(GIVEN, "score")
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(name="kept")
def _kept(monkeypatch):
    # A busy machine loses no spans here.
    monkeypatch.setattr(otlp, "EXPORT_S", 30.0)
    with collector() as kept:
        yield kept


def _told(url, *spans):
    told = Otlp(url, "linewatch-test", lambda: 2_000)
    for span in spans:
        told.tell(span)
    told.close()


def test_ids_are_the_events(kept):
    """A span has the ids of its event's traceparent, its times, and no parent by itself."""
    _told(kept.url, Span("utterance", GIVEN, 1_000))
    ((service, span),) = kept.spans
    assert (service, span.name) == ("linewatch-test", "utterance")
    assert (span.trace_id.hex(), span.span_id.hex()) == ids_of(GIVEN)
    assert span.parent_span_id == b""
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000, 2_000)


def test_parent_is_the_events(kept):
    """A span stands under the span of the event that was taken."""
    _told(kept.url, Span("score", CHILD, 1_000, GIVEN, {"linewatch.n": 1}))
    ((_, span),) = kept.spans
    assert (span.trace_id.hex(), span.span_id.hex()) == ids_of(CHILD)
    assert span.parent_span_id.hex() == ids_of(GIVEN)[1]
    assert [(each.key, each.value.int_value) for each in span.attributes] == [("linewatch.n", 1)]


@pytest.mark.parametrize("parent", ["", "nonsense", OTHER])
def test_foreign_parent_is_left_out(kept, parent):
    """A parent that is none, or of another trace, is left out; the span is told all the same."""
    _told(kept.url, Span("score", CHILD, 1_000, parent))
    ((_, span),) = kept.spans
    assert (span.trace_id.hex(), span.parent_span_id) == (ids_of(CHILD)[0], b"")


def test_span_without_ids_is_dropped(kept):
    """Work on an event without a traceparent has no span."""
    _told(kept.url, Span("board", "", 1_000), Span("score", CHILD, 1_000))
    assert [span.name for _, span in kept.spans] == ["score"]


def test_threads_keep_their_ids(kept):
    """Spans told by many threads at once do not take each other's ids."""
    told = Otlp(kept.url, "linewatch-test")
    names = [f"{thread}-{number}" for thread in range(8) for number in range(20)]

    def tell(thread):
        for number in range(20):
            name = f"{thread}-{number}"
            told.tell(Span(name, child_of(GIVEN, name), 1_000))

    threads = [threading.Thread(target=tell, args=(each,)) for each in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    told.close()
    assert sorted(names) == sorted(span.name for _, span in kept.spans)
    for _, span in kept.spans:
        assert span.span_id.hex() == ids_of(child_of(GIVEN, span.name))[1]


def test_spans_go_by_themselves(kept, monkeypatch):
    """A thread sends what was told; nobody need ask."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    told = Otlp(kept.url, "linewatch-test")
    told.tell(Span("score", CHILD, 1_000))
    assert len(kept.wait_for(1)) == 1
    told.close()


def test_absent_collector_holds_nobody_up(caplog):
    """Where no collector listens, telling more than may wait never waits and never raises."""
    caplog.set_level(logging.CRITICAL)
    told = Otlp(f"http://127.0.0.1:{free_port()}", "linewatch-test")
    began_s = time.thread_time()
    for number in range(3 * otlp._WAITING):
        told.tell(Span("score", child_of(GIVEN, str(number)), 1_000))
    assert time.thread_time() - began_s < 5
    began_s = time.monotonic()
    told.close()
    assert time.monotonic() - began_s < 60


def test_failing_collector_loses_spans_only(kept, caplog):
    """A collector that answers 500 loses that batch; the next one arrives."""
    caplog.set_level(logging.CRITICAL)
    kept.status = 500
    told = Otlp(kept.url, "linewatch-test")
    told.tell(Span("lost", GIVEN, 1_000))
    told._provider.force_flush()
    assert kept.batches >= 1
    kept.status = 200
    told.tell(Span("score", CHILD, 1_000))
    told.close()
    assert [span.name for _, span in kept.spans] == ["score"]
