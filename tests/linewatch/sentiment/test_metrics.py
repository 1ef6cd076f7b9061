"""What the sentiment function counts."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from linewatch import events
from linewatch.errors import SinkUnavailable, Unavailable
from linewatch.sending.outlet import Outlet
from linewatch.sentiment import app
from linewatch.sentiment.warmup import Warmup
from linewatch.serving.metrics_text import CONTENT_TYPE
from tests.support.board_facts import end


class _Sink:
    is_away = False

    def send(self, _):
        if self.is_away:
            raise SinkUnavailable("the sink is away")


@pytest.fixture(name="sink")
def _sink():
    return _Sink()


@pytest.fixture(name="client")
def _client(scorer, sink):
    return app.routed(app.function("s", Warmup(lambda: scorer), Outlet(sink))).test_client()


def _post(client, event):
    headers, body = events.to_http(event)
    return client.post("/", headers=headers, data=body).status_code


def _counted(client):
    text = client.get("/metrics").text
    found = {
        sample.name.removeprefix("linewatch_sentiment_"): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return tuple(found[name] for name in ("scores_total", "refused_total", "score_seconds_count"))


def test_scores_are_counted(client, said):
    """Each score that was passed on counts, and how long it took."""
    assert _counted(client) == (0, 0, 0)
    for text in ("hello there", "not good at all"):
        assert _post(client, events.utterance_final(said(text))) == 204
    assert _counted(client) == (2, 0, 2)


def test_poison_is_refused(client):
    """An event that can never be scored counts as refused; a wrong path does not."""
    assert _post(client, events.call_ended(end())) == 400
    assert client.post("/", data=b"no event").status_code == 400
    assert client.get("/nowhere").status_code == 404
    assert _counted(client) == (0, 2, 0)


def test_absent_sink_is_no_refusal(client, sink, said):
    """A score that the sink did not take is neither passed on nor refused: it comes again."""
    sink.is_away = True
    assert _post(client, events.utterance_final(said("hello"))) == 503
    assert _counted(client) == (0, 0, 1)


def test_silence_is_no_score(client, said):
    """An utterance without words is taken, and there is nothing to score."""
    assert _post(client, events.utterance_final(said(" "))) == 204
    assert _counted(client) == (0, 0, 0)


def test_shown_before_it_is_warm(said):
    """The metrics are shown while the scorer is still being loaded, or cannot be."""

    def fail():
        raise Unavailable("no word lists")

    client = app.routed(app.function("s", Warmup(fail), Outlet(is_reply=True))).test_client()
    answer = client.get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, CONTENT_TYPE)
    assert _post(client, events.utterance_final(said("hello"))) == 503
    assert _counted(client) == (0, 0, 0)
