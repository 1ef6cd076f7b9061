"""Holds the sink to KafkaSink's answers, and to writing what it was given."""

from __future__ import annotations

import json

import pytest

from eventing import topics, topology
from eventing.replica import free_port
from eventing.sink import MOST_BYTES, SinkSettings, create, log_of, main
from linewatch import events, settings
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import KafkaSettings
from linewatch.events import Record
from tests.eventing.subscriber import record
from tests.support.kafka_broker import write_manifests

_SINKS = {"scores": "scores", "alerts": "alerts"}
_STRUCTURED = "application/cloudevents+json"


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    yield log
    log._client.close()


@pytest.fixture(name="sink")
def _sink(log):
    return create(log, _SINKS).test_client()


def _headers(**changed):
    event = {name[3:]: value.decode() for name, value in record().headers.items() if "_" in name}
    found = {f"ce-{name}": text for name, text in {**event, **changed}.items() if text}
    return {**found, "content-type": "application/json"}


def _only(log, topic):
    (entry,) = log.entries(topic)
    return Record.of_fields(entry.fields)


def test_binary_event_is_written(sink, log):
    """A binary event lies in the sink's topic under its partitionkey, its bytes unchanged."""
    body = b'{ "polarity" :0.10}'
    answer = sink.post("/scores", headers=_headers(), data=body)
    assert (answer.status_code, answer.data) == (202, b"")
    written = _only(log, "scores")
    assert (written.key, written.value) == ("call-1", body)
    assert dict(written.headers) == dict(record().headers)


def test_structured_event_is_written_binary(sink, log):
    """A structured event is written in binary mode, its data only as the value."""
    body = json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/x",
            "type": "t",
            "partitionkey": "k",
            "data": [1],
        }
    )
    assert sink.post("/alerts", data=body, content_type=_STRUCTURED).status_code == 202
    written = _only(log, "alerts")
    assert (written.key, written.value) == ("k", b"[1]")
    assert written.headers["ce_id"] == b"1"


def test_only_event_headers_written(sink, log):
    """Headers that are not the event's own are not published."""
    headers = {**_headers(), "Authorization": "Bearer secret", "X-Other": "1"}
    sink.post("/scores", headers=headers, data=b"{}")
    assert all(n.startswith("ce_") or n == "content-type" for n in _only(log, "scores").headers)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (_headers(id=""), b"{}"),
        (_headers(type=""), b"{}"),
        (_headers(specversion=""), b"{}"),
        (_headers(specversion="0.3"), b"{}"),
        (_headers(partitionkey="a%00b"), b"{}"),
        (_headers(), b'{"broken'),
        ({"content-type": "text/plain"}, b"hello"),
        ({}, b""),
        ({"content-type": _STRUCTURED}, b"{"),
        ({"content-type": _STRUCTURED}, b"[]"),
        ({"content-type": _STRUCTURED}, b'{"specversion":"1.0"}'),
        (
            {"content-type": _STRUCTURED},
            b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":"\\ud800"}',
        ),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]"),
    ],
)
def test_no_event_is_400(sink, log, headers, body):
    """No id, no event, bad JSON and a batch are 400, and nothing is written."""
    answer = sink.post("/scores", headers=headers, data=body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert log.count("scores") == 0


def test_large_body_is_413(sink):
    """More than 1 MiB is refused; 1 MiB is not."""
    whole = b'"' + b"x" * (MOST_BYTES - 2) + b'"'
    assert sink.post("/scores", headers=_headers(), data=whole).status_code == 202
    answer = sink.post("/scores", headers=_headers(), data=whole + b" ")
    assert (answer.status_code, answer.json["status"]) == (413, 413)
    assert answer.json["detail"] == f"send at most {MOST_BYTES} bytes"


def test_own_fault_tells_nothing(log, caplog):
    """An unexpected error is a 500 problem; neither answer nor log quotes what was sent."""

    def fail(*_):
        raise ValueError("card number 4111")

    answer = create(log, _SINKS, fail).test_client().post("/scores", headers=_headers(), data=b"{}")
    assert (answer.status_code, answer.json["title"]) == (500, "Internal error")
    assert "ValueError" in caplog.text
    assert "4111" not in answer.text + caplog.text


def test_unknown_paths_are_problems(sink):
    """A sink that does not exist is 404, a wrong method 405, both as problem JSON."""
    unknown = sink.post("/whispers", headers=_headers(), data=b"{}")
    assert (unknown.status_code, unknown.json["status"]) == (404, 404)
    assert "alerts, scores" in unknown.json["detail"]
    assert sink.post("/a/b/c").json["status"] == 404
    wrong = sink.delete("/scores")
    assert (wrong.status_code, wrong.json["status"]) == (405, 405)
    assert wrong.headers["Allow"]


def test_absent_log_is_503():
    """While the log is away the sink answers 503 with Retry-After, and is alive but not ready."""
    away = create(RedisLog.at(f"redis://127.0.0.1:{free_port()}/0", 0.8), _SINKS).test_client()
    answer = away.post("/scores", headers=_headers(), data=b"{}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert away.get("/health/readiness").status_code == 503
    assert away.get("/health/liveness").status_code == 204


def test_kafka_takes_event(kafka, tmp_path):
    """With KAFKA_BROKERS the event lies in its Kafka topic, keyed by its partitionkey."""
    prefix = write_manifests(tmp_path)
    assert topics.main({**kafka.env, "MANIFESTS": str(tmp_path)}) == 0
    told = settings.load(SinkSettings, {**kafka.env, "MANIFESTS": str(tmp_path)})
    sinks = topology.load(tmp_path).sinks
    event_log = log_of(told, sinks)
    sink = create(event_log, sinks).test_client()
    assert sink.get("/health/readiness").status_code == 204
    assert sink.post("/scores", headers=_headers(), data=b'{"a": 1.10}').status_code == 202
    large = sink.post("/scores", headers=_headers(), data=b'"' + b"x" * (MOST_BYTES - 2) + b'"')
    assert large.status_code == 413
    event_log.close()
    (written,) = kafka.read(f"{prefix}-scores")
    assert (written.key, written.value) == ("call-1", b'{"a": 1.10}')
    assert written.headers["ce_id"] == record().headers["ce_id"]


def test_absent_kafka_is_503():
    """While Kafka is away the sink answers 503 within its time, and soon the second time."""
    told = {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "0.5"}
    away = KafkaLog(Brokers(settings.load(KafkaSettings, told)), 0.5)
    sink = create(away, _SINKS).test_client()
    for _ in range(2):
        answer = sink.post("/scores", headers=_headers(), data=b"{}")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert sink.get("/health/readiness").status_code == 503
    assert sink.get("/health/liveness").status_code == 204


def test_missing_topics_stop_start(kafka, capsys, tmp_path):
    """A sink whose topics are not made yet does not start, and says what makes them."""
    write_manifests(tmp_path)
    assert main({**kafka.env, "MANIFESTS": str(tmp_path)}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run `python -m eventing.topics`" in line


def test_outcomes_are_counted(sink):
    """What a sink took and refused is told to Prometheus, by sink; unknown sinks are not."""
    sink.post("/scores", headers=_headers(), data=b"{}")
    sink.post("/scores", headers=_headers(), data=b"no JSON")
    sink.post("/nowhere", headers=_headers(), data=b"{}")
    text = sink.get("/metrics").get_data(as_text=True)
    assert 'linewatch_sink_events_total{outcome="taken",sink="scores"} 1.0' in text
    assert 'linewatch_sink_events_total{outcome="refused",sink="scores"} 1.0' in text
    assert "nowhere" not in text


def test_sink_is_ready(sink):
    """With Redis there, the sink is ready."""
    assert sink.get("/health/readiness").status_code == 204


def test_repeat_keeps_bytes(sink, log):
    """The same event sent twice lies in the log twice with equal bytes."""
    for _ in range(2):
        sink.post("/scores", headers=_headers(), data=b"{}")
    first, second = (Record.of_fields(entry.fields) for entry in log.entries("scores"))
    assert first == second
    assert first.partition == events.partition_of("call-1")


@pytest.mark.parametrize(
    "env", [{"PORT": "0"}, {"REDIS_URL": "nowhere"}, {"MANIFESTS": "/nowhere"}]
)
def test_wrong_setting_stops_start(env, capsys):
    """A wrong setting is one line on stderr and status 2; a folder without manifests too."""
    assert main(env) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
