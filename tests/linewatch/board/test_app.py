"""The board function answers as a KafkaSource needs it to."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventing.delivery.deliverer import is_retried
from infra.launcher import redis_server
from linewatch import events, keys
from linewatch.board import app as board_app
from linewatch.calls import Alert, Severity, Utterance
from linewatch.sending.outlet import Outlet
from linewatch.sending.sink import Sink
from linewatch.tracing.spans import child_of, traceparent_of
from tests.support.board_facts import CALL, TENANT, end, gap, score, start, update
from tests.support.event_sink import EventSink
from tests.support.tracer import ListTracer


@pytest.fixture(name="target")
def _target():
    with EventSink() as target:
        yield target


def _client(redis_url, sink="", **env):
    return board_app.create({"REDIS_URL": redis_url, "K_SINK": sink, **env}).test_client()


@pytest.fixture(name="http")
def _http(redis_url, target):
    return _client(redis_url, target.url)


def _post(http, event):
    headers, body = events.to_http(event)
    return http.post("/", headers=headers, data=body)


def _is_problem(answer, status, slug=None):
    body = json.loads(answer.data)
    assert answer.content_type == "application/problem+json"
    assert (answer.status_code, body["status"]) == (status, status)
    assert answer.headers["kne-reason"] == body["type"].removeprefix("urn:linewatch:problem:")
    return slug is None or body["type"].endswith(f":{slug}")


def test_own_fault_is_a_problem(http, caplog, monkeypatch):
    """A fault of ours is a 500 problem; neither answer nor log repeat what was said."""

    def fail(_):
        raise ValueError("card number 4111")

    monkeypatch.setattr(board_app, "_fact", fail)
    answer = _post(http, events.utterance_scored(score(0, 0.0)))
    assert _is_problem(answer, 500, "internal-error")
    assert "4111" not in answer.text + caplog.text
    assert "ValueError" in caplog.text


def test_events_reach_board(http, board):
    """Start, score, gap and end are answered 204 without a body, and stand on the board."""
    told = [
        events.call_started(start()),
        events.utterance_scored(score(0, 0.0)),
        events.call_gap(gap(3000, 4000)),
        events.call_ended(end(9000, 1, 1)),
    ]
    answers = [_post(http, event) for event in told]
    assert {(answer.status_code, answer.data) for answer in answers} == {(204, b"")}
    (row,) = board.snapshot(TENANT).rows
    assert (row.line, row.polarity, row.gaps, row.utterances) == ("line-7", 0.0, 1, 1)
    assert row.ended_at_ms == start().started_at_ms + 9000


def test_listed_consumers_are_shown(redis_url, board):
    """With CONSUMERS_SHOWN the board shows the scores of the first of them, whoever else scores."""
    http = _client(redis_url, REPLY="true", CONSUMERS_SHOWN="sentiment,notebook")
    for told in (score(0, 0.5), score(0, -0.5, consumer="notebook"), score(0, 0.1, consumer="a")):
        assert _post(http, events.utterance_scored(told)).status_code == 204
    (row,) = board.snapshot(TENANT).rows
    assert (row.polarity, row.consumer, row.utterances) == (0.5, "sentiment", 1)


def test_update_is_taken(http, board):
    """An update of a call changes its row."""
    _post(http, events.call_started(start(agent="Ann")))
    assert _post(http, events.call_updated(update(5000, agent="Bob"))).status_code == 204
    (row,) = board.snapshot(TENANT).rows
    assert (row.agent, row.agents_before) == ("Bob", ("Ann",))


def test_structured_event_is_taken(http, board):
    """An event whole in its JSON body is taken like one in headers."""
    event = events.utterance_scored(score(0, 0.25))
    attributes = {
        name: str(value) for name, value in event.get_attributes().items() if name != "time"
    }
    whole = attributes | {"time": event.get_time().isoformat(), "data": event.get_data()}
    answer = http.post("/", content_type="application/cloudevents+json", data=json.dumps(whole))
    assert answer.status_code == 204
    assert board.snapshot(TENANT).rows[0].polarity == 0.25


def test_knative_extensions_are_harmless(http):
    """The extensions a KafkaSource adds are no reason to refuse an event."""
    headers, body = events.to_http(events.utterance_scored(score(0)))
    added = {"ce-knativekafkaoffset": "7", "ce-knativekafkapartition": "1"}
    assert http.post("/", headers=headers | added, data=body).status_code == 204


def test_alert_is_published_once(http, target):
    """An alert is posted to the sink once, however often its cause is sent."""
    for _ in range(3):
        assert (
            _post(http, events.utterance_scored(score(0, text="your manager"))).status_code == 204
        )
    (alert,) = target.taken
    assert (alert.get_type(), alert.get_id()) == (events.CALL_ALERT, "keyword-supervisor-alert")
    assert alert.get_data()["reason"] == "asked for a manager"


@pytest.mark.parametrize("status", [400, 500, 503])
def test_refused_alert_is_sent_again(http, target, board, status):
    """If the sink refuses, the source is asked to send again; then the alert arrives, once."""
    target.statuses.append(status)
    event = events.utterance_scored(score(0, text="your manager"))
    refused = _post(http, event)
    assert _is_problem(refused, 503, "sink-unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert [row.utterances for row in board.snapshot(TENANT).rows] == [1]
    assert _post(http, event).status_code == 204
    assert [alert.get_id() for alert in target.taken] == ["keyword-supervisor-alert"]
    assert [row.utterances for row in board.snapshot(TENANT).rows] == [1]


def _left(client, ago_h):
    """Let the call have left the page *ago_h* hours ago."""
    left_ms = round((client.time()[0] - ago_h * 3600) * 1000)
    client.zadd(keys.board_expiries(TENANT), {CALL: left_ms})
    client.set(keys.board_gone(TENANT, CALL), left_ms)


def test_late_alert_is_published(http, target, board, client):
    """A score told 20 minutes after the end is answered 204, and its alert published once."""
    board.put(end(9000, 1))
    _left(client, 1 / 12)
    told = events.utterance_scored(score(0, text="your manager"))
    assert [_post(http, told).status_code for _ in range(2)] == [204, 204]
    assert [alert.get_id() for alert in target.taken] == ["keyword-supervisor-alert"]
    assert board.snapshot(TENANT).rows == ()


def test_too_late_becomes_a_dead_letter(http, target, board, client):
    """A score told 25 hours after the end is refused for good, and the reason says why."""
    board.put(end(9000, 1))
    _left(client, 25)
    client.delete(keys.board_call(TENANT, CALL))
    refused = _post(http, events.utterance_scored(score(0, text="your manager")))
    assert _is_problem(refused, 422, "too-late")
    assert "told 25 h after the call left the board" in refused.text
    assert not is_retried(refused.status_code)
    assert (target.taken, board.snapshot(TENANT).rows) == ([], ())


def test_crash_before_publishing_heals(http, target, board):
    """An alert raised by a process that died is published with the next event of the call."""
    (raised,) = board.put(score(0, text="your manager")).unpublished
    assert _post(http, events.utterance_scored(score(1, text="hello"))).status_code == 204
    (alert,) = target.taken
    assert events.to_http(alert) == events.to_http(events.call_alert(raised))


def test_crash_after_publishing_repeats(http, target, board):
    """An alert that was posted but not marked is posted again as the same bytes."""
    told = score(0, text="your manager")
    (raised,) = board.put(told).unpublished
    assert _post(http, events.utterance_scored(told)).status_code == 204
    assert events.to_http(target.taken[0]) == events.to_http(events.call_alert(raised))


def test_fact_and_alert_are_spans(redis_url, board, target):
    """What the board takes is a span under its event's, and an alert is a span under that."""
    tracer = ListTracer()
    outlet = Outlet(Sink(target.url, 5))
    http = board_app._routed(board_app.Keeping(board, outlet, tracer=tracer)).test_client()
    event = events.utterance_scored(score(0, text="your manager"))
    assert _post(http, event).status_code == 204
    own = child_of(traceparent_of(event), "board")
    assert tracer.told == [
        ("alert", traceparent_of(target.taken[0]), own),
        ("board", own, traceparent_of(event)),
    ]
    assert "manager" not in repr(tracer.spans)


@pytest.mark.parametrize("traceparent", [None, "", "00-x-y-z", "no-trace"])
def test_foreign_traceparent_is_harmless(http, traceparent):
    """An event with a strange traceparent, or without one, is taken like any other."""
    headers, body = events.to_http(events.call_started(start()))
    headers.pop("ce-traceparent")
    added = {} if traceparent is None else {"ce-traceparent": traceparent}
    assert http.post("/", headers=headers | added, data=body).status_code == 204


def test_reply_keeps_alerts(redis_url, board, target):
    """With REPLY=true alerts stand on the board and nowhere else."""
    http = _client(redis_url, target.url, REPLY="true")
    assert http.get("/health/readiness").status_code == 200
    assert _post(http, events.utterance_scored(score(0, text="manager"))).status_code == 204
    assert [alert.rule for alert in board.snapshot(TENANT).alerts] == ["keyword-supervisor"]
    assert target.taken == []


def test_no_outlet_takes_nothing(redis_url, board, caplog):
    """With neither K_SINK nor REPLY no event reaches the board; one line of the log says so."""
    with caplog.at_level("INFO"):
        http = _client(redis_url)
        answer = _post(http, events.utterance_scored(score(0, text="manager")))
        assert _is_problem(answer, 503, "sink-unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "SinkBinding" in answer.json["detail"]
        assert _is_problem(http.get("/health/readiness"), 503, "sink-unavailable")
    assert http.get("/health/liveness").status_code == 200
    assert "linewatch_board_facts_total 0.0" in http.get("/metrics").text
    assert board.snapshot(TENANT).rows == ()
    (line,) = caplog.messages
    assert line.startswith("alerts go nowhere")


OTHERS = [
    events.utterance_final(Utterance(score(0).key, 0, 0, 0, 0, 5, "hi")),
    events.call_alert(Alert(TENANT, CALL, "r", Severity.NOTICE, "why", 5, 0)),
]


@pytest.mark.parametrize("event", OTHERS)
def test_other_types_are_refused(http, event):
    """Events of types the board does not keep are answered 400 with the reason."""
    assert _is_problem(_post(http, event), 400, "bad-event")


def _scored(**changes):
    headers, body = events.to_http(events.utterance_scored(score(0)))
    return headers, json.dumps(json.loads(body) | changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"polarity": 2},
        {"polarity": True},
        {"text": 5},
        {"text": "\ud800"},
        {"nouns": ["\udfff"]},
        {"call": "a\nb"},
        {"channel": "Boss"},
        {"start_ms": 9_000_000},
        {"end_ms": 10**12},
        {"end_ms": 10**300},
        {"first_sample": -1},
        {"nouns": None},
    ],
)
def test_bad_data_is_unprocessable(http, board, changes):
    """Data that breaks the schema or cannot be true is answered 422 and leaves no trace."""
    headers, body = _scored(**changes)
    assert _is_problem(http.post("/", headers=headers, data=body), 422, "unprocessable")
    assert board.snapshot(TENANT).rows == ()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"Content-Type": "application/json"}, b"{}"),
        ({"Content-Type": "application/cloudevents+json"}, b"{bad"),
        ({"Content-Type": "application/cloudevents+json"}, b"[]"),
        ({"Content-Type": "application/cloudevents+json"}, b"[" * 100_000),
        ({"ce-specversion": "0.3", "ce-type": "x", "ce-source": "/", "ce-id": "1"}, b""),
    ],
)
def test_no_event_is_bad(http, headers, body):
    """What is no CloudEvent is answered 400 with the reason."""
    assert _is_problem(http.post("/", headers=headers, data=body), 400, "bad-event")


def test_bad_json_is_unprocessable(http):
    """A scored event whose body is no JSON is answered 422."""
    headers, _ = _scored()
    assert _is_problem(http.post("/", headers=headers, data=b"{bad"), 422)


def test_large_body_is_refused(http):
    """A body over the limit is answered 413."""
    headers, _ = _scored()
    answer = http.post("/", headers=headers, data=b"x" * (board_app.BODY_LIMIT_BYTES + 1))
    assert _is_problem(answer, 413, "too-large")


def test_unknown_routes_are_problems(http):
    """Unknown routes and methods are answered with problem JSON too."""
    assert _is_problem(http.get("/nowhere"), 404, "not-found")
    refused = http.get("/")
    assert _is_problem(refused, 405)
    assert "POST" in refused.headers["Allow"]


def test_lost_store_is_unavailable(target):
    """Without Redis an event is answered 503 with Retry-After, and the function is not ready."""
    http = _client(f"redis://127.0.0.1:{redis_server.free_port()}/0", target.url)
    answer = _post(http, events.call_started(start()))
    assert _is_problem(answer, 503, "store-unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert _is_problem(http.get("/health/readiness"), 503)
    assert http.get("/health/liveness").status_code == 200


def test_ready_with_store(http):
    """With Redis the function is ready."""
    assert http.get("/health/readiness").status_code == 200


def test_wrong_setting_stops_start(capsys):
    """A wrong setting ends the start with one line that names it."""
    with pytest.raises(SystemExit):
        board_app.create({"K_SINK": "ftp://x"})
    assert capsys.readouterr().err.startswith("board: K_SINK: must begin with http")


def test_words_are_not_logged(http, caplog):
    """What was said does not reach the log, what was published does."""
    with caplog.at_level("DEBUG"):
        _post(
            http, events.utterance_scored(score(0, text="canary manager 4111", nouns=("canary",)))
        )
    assert "keyword-supervisor" in caplog.text
    assert "canary" not in caplog.text
    assert "4111" not in caplog.text


def test_import_stays_light():
    """Starting from zero loads neither spaCy nor numpy nor Streamlit."""
    heavy = {"spacy", "numpy", "streamlit", "vosk"}
    ask = f"import sys, linewatch.board.app; print({heavy} & set(sys.modules))"
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=env
    )
    assert loaded.stdout == "set()\n"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from([*score(0).__slots__, *start().__slots__, *end().__slots__, "channel"])
_EVENTS = [
    events.utterance_scored(score(0, text="manager")),
    events.call_started(start()),
    events.call_gap(gap(3, 4)),
    events.call_ended(end()),
]


@st.composite
def _requests(draw):
    headers, body = events.to_http(draw(st.sampled_from(_EVENTS)))
    if draw(st.booleans()):
        changes = draw(st.dictionaries(_FIELDS, _JSON, max_size=3))
        return headers, json.dumps(json.loads(body) | changes).encode()
    kind = draw(st.sampled_from(["application/json", "application/cloudevents+json", "text/x"]))
    kept = headers if draw(st.booleans()) else {}
    return kept | {"content-type": kind}, draw(st.binary(max_size=200) | _JSON.map(json.dumps))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sent=_requests())
def test_no_body_breaks_it(http, board, sent):
    """Any body is answered 204 or with a problem of 4xx, and the board stays readable."""
    headers, body = sent
    answer = http.post("/", headers=headers, data=body)
    if answer.status_code != 204:
        assert answer.status_code in {400, 422}
        assert _is_problem(answer, answer.status_code)
    board.snapshot(TENANT)
