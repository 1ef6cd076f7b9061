"""One utterance's road as a collector sees it: chunk, score, board and alert in one trace."""

from __future__ import annotations

import pytest

from linewatch import events
from linewatch.board import app as board_app
from linewatch.board.store import Board
from linewatch.calls import Channel, ChannelKey, End, Utterance
from linewatch.decoder.ownership.live import SessionDecoder
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.sending.outlet import Outlet
from linewatch.sending.sink import Sink
from linewatch.sentiment import app as sentiment_app
from linewatch.sentiment import warmup
from linewatch.serving.function import routed
from linewatch.trace_context import trace_parent
from linewatch.tracing import otlp
from linewatch.tracing.otlp import Otlp
from tests.linewatch.decoder.pods import AGENT, START, Pod
from tests.support import fakes
from tests.support.event_sink import EventSink
from tests.support.otlp_receiver import collector

SAID = "give me your manager at once"


@pytest.fixture(name="kept")
def _kept(monkeypatch):
    # A busy machine loses no spans here.
    monkeypatch.setattr(otlp, "EXPORT_S", 30.0)
    with collector() as kept:
        yield kept


def _decoded(pod, url):
    """Decode a spoken channel to its end and tell the collector at *url*."""
    told = Otlp(url, "linewatch-decoder")
    decoding = SessionDecoder(
        pod.store, pod.recognizers, pod.metrics, Watchdog(5.0), 2, tracer=told
    )
    pod.store.claim(AGENT, START, rate_hz=8000)
    chunks = fakes.chunks(fakes.speech(2.0))
    live = decoding.restore(AGENT, pod.store.claim(AGENT).stored, ())
    for step in (*chunks, End(len(chunks), "s1")):
        pod.store.commit(AGENT, live.epoch, step)
        finals = decoding.hear(live, [step]).finals
    told.close()
    return finals


def _scored(url, event):
    """Score *event* with the function as its settings make it; return the reply."""
    function = sentiment_app.build(
        {"REPLY": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": url}, warmup.load
    )
    answer = _post(routed(function).test_client(), event)
    function.handler.tracer.close()
    return events.from_http(dict(answer.headers), answer.data)


def _kept_on_board(url, redis_url, event):
    told = Otlp(url, "linewatch-board")
    with EventSink() as alerts:
        keeping = board_app.Keeping(
            Board.from_url(redis_url), Outlet(Sink(alerts.url, 5)), tracer=told
        )
        assert _post(board_app._routed(keeping).test_client(), event).status_code == 204
        told.close()
        keeping.board.close()


def _post(client, event):
    headers, body = events.to_http(event)
    return client.post("/", headers=headers, data=body)


def test_road_is_one_trace(kept, redis_url):
    """From the words to the alert every span stands under the one before it, without a word."""
    said = Utterance(ChannelKey("default", "c9", Channel.CUSTOMER), 0, 0, 0, 0, 2000, SAID)
    event = events.utterance_final(said)
    _kept_on_board(kept.url, redis_url, _scored(kept.url, event))
    spans = {span.name: span for _, span in kept.spans}
    assert {span.name: service for service, span in kept.spans} == {
        "score": "linewatch-sentiment",
        "board": "linewatch-board",
        "alert": "linewatch-board",
    }
    ids = trace_parent("default", "c9", said.key.source, "0-final").split("-")
    assert {span.trace_id.hex() for span in spans.values()} == {ids[1]}
    assert spans["score"].parent_span_id.hex() == ids[2]
    assert spans["board"].parent_span_id == spans["score"].span_id
    assert spans["alert"].parent_span_id == spans["board"].span_id
    for span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert "manager" not in str(span)
        assert "c9" not in str(span)


def test_chunks_begin_the_trace(kept, redis_url):
    """The decoder's span has the ids that the utterance's event carries to the functions."""
    finals = _decoded(Pod(redis_url), kept.url)
    assert finals
    ids = {
        trace_parent("default", "c1", AGENT.source, f"{final['first_sample']}-final")
        for final in finals
    }
    told = {f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for _, span in kept.spans}
    assert ids <= told
    assert {(service, span.name) for service, span in kept.spans} == {
        ("linewatch-decoder", "utterance")
    }
    assert all(span.start_time_unix_nano < span.end_time_unix_nano for _, span in kept.spans)
