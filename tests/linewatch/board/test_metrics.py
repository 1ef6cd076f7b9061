"""What the board function counts."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.launcher.redis_server import free_port
from linewatch import events
from linewatch.board import app as board_app
from linewatch.serving.metrics_text import CONTENT_TYPE
from tests.support.board_facts import score, start
from tests.support.event_sink import EventSink


@pytest.fixture(name="target")
def _target():
    with EventSink() as target:
        yield target


@pytest.fixture(name="http")
def _http(redis_url, target):
    return board_app.create({"REDIS_URL": redis_url, "K_SINK": target.url}).test_client()


def _post(http, event):
    headers, body = events.to_http(event)
    return http.post("/", headers=headers, data=body).status_code


def _counted(http):
    found = {
        sample.name.removeprefix("linewatch_board_"): int(sample.value)
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
    }
    return tuple(found[name] for name in ("facts_total", "alerts_total", "refused_total"))


def test_facts_and_alerts_are_counted(http):
    """Each event that the board holds counts, and each alert that the sink took, once."""
    assert _counted(http) == (0, 0, 0)
    assert _post(http, events.call_started(start())) == 204
    for _ in range(2):
        assert _post(http, events.utterance_scored(score(0, text="your manager"))) == 204
    assert _counted(http) == (3, 1, 0)


def test_refused_alert_is_not_counted(http, target):
    """An alert that the sink refused counts only once it was taken."""
    target.statuses.append(503)
    event = events.utterance_scored(score(0, text="your manager"))
    assert _post(http, event) == 503
    assert _counted(http) == (1, 0, 0)
    assert _post(http, event) == 204
    assert _counted(http) == (2, 1, 0)


def test_poison_is_refused(http):
    """What can never stand on the board counts as refused; a wrong path does not."""
    assert http.post("/", data=b"no event").status_code == 400
    assert http.get("/nowhere").status_code == 404
    assert _counted(http) == (0, 0, 1)


def test_shown_without_the_store():
    """The metrics need no Redis, and an absent one is no refusal."""
    http = board_app.create({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}).test_client()
    assert _post(http, events.call_started(start())) == 503
    answer = http.get("/metrics")
    assert (answer.status_code, answer.content_type) == (200, CONTENT_TYPE)
    assert _counted(http) == (0, 0, 0)
