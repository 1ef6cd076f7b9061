"""Holds the receiver of dead letters to keeping what it is sent, as our own dispatcher would."""

from __future__ import annotations

import time

import pytest

from eventing import deadletters, topics, topology
from eventing.delivery.kafkasource_request import Failure, dead_letter, event_of, original
from eventing.replica import free_port
from eventing.sink import SinkSettings, log_of
from linewatch import settings
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis import RedisLog
from linewatch.events import Record
from tests.eventing.subscriber import record, source
from tests.support.kafka_broker import write_manifests


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    yield log
    log.close()


@pytest.fixture(name="receiver")
def _receiver(log):
    return deadletters.create(log, topology.load()).test_client()


def _sent(made):
    """Return a dead letter as a source posts it, and as our dispatcher writes it."""
    fields = {key.encode(): value for key, value in made.fields().items()}
    event, key = event_of(source(), Entry(0, 1_000_000, fields, 1))
    failure = Failure("http://f/ü", 422, b"why", {"kne-reason": "bad-schema"})
    failed = event.with_extensions(**failure.extensions())
    return failed, dead_letter(source(), event, key, failure)


def _written(log):
    return [Record.of_fields(entry.fields) for entry in log.entries("dead-sentiment")]


@pytest.mark.parametrize("body", [b'{ "a" :1.10}', b'{"broken', b"\xff", b""])
def test_letter_is_the_dispatchers(receiver, log, body):
    """A posted letter lies in its topic as the dispatcher writes it, however broken its body."""
    made = Record("utterances", "call-1", record().headers, body)
    event, expected = _sent(made)
    answer = receiver.post("/dead-sentiment", headers=event.headers("x"), data=event.body)
    assert (answer.status_code, answer.data) == (202, b"")
    assert _written(log) == [expected]
    (entry,) = log.entries("dead-sentiment")
    assert original(source(), entry) == made


def test_bad_attribute_is_kept(receiver, log):
    """An event that no SDK would read, and no function took, is a dead letter all the same."""
    made = Record("utterances", "call-1", {**record().headers, "ce_time": b"yesterday"}, b"{}")
    event, expected = _sent(made)
    assert receiver.post("/dead-sentiment", headers=event.headers("x")).status_code == 202
    (letter,) = _written(log)
    assert letter.headers == expected.headers


@pytest.mark.parametrize("headers", [{}, {"ce-id": "1", "ce-type": "t"}])
def test_no_event_is_400(receiver, log, headers):
    """What is no event is refused, and nothing is written."""
    answer = receiver.post("/dead-sentiment", headers=headers, data=b"{}")
    assert (answer.status_code, answer.json["status"]) == (400, 400)
    assert "ce-source" in answer.json["detail"]
    assert _written(log) == []


def test_other_path_is_404(receiver):
    """Only topics of dead letters have a path."""
    assert receiver.post("/scores", headers={}, data=b"{}").status_code == 404


def test_absent_log_is_503():
    """While the log is away the source is asked to retry, and the server is not ready."""
    log = RedisLog.at(f"redis://127.0.0.1:{free_port()}/0", 0.5)
    away = deadletters.create(log, topology.load()).test_client()
    event, _ = _sent(record())
    answer = away.post("/dead-sentiment", headers=event.headers("x"), data=event.body)
    assert answer.status_code == 503
    assert away.get("/health/readiness").status_code == 503
    assert away.get("/health/liveness").status_code == 204


def test_kafka_takes_letter(kafka, tmp_path):
    """With KAFKA_BROKERS the letter lies in its Kafka topic; nothing else is asked for."""
    prefix = write_manifests(tmp_path)
    env = {**kafka.env, "MANIFESTS": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert topics.main(env) == 0
    topic = f"{prefix}-dead-sentiment"
    known = topology.load(tmp_path)
    assert topic in known.dead_letters
    log = log_of(settings.load(SinkSettings, env), deadletters.paths_of(known))
    receiver = deadletters.create(log, known).test_client()
    event, expected = _sent(record())
    answer = receiver.post(f"/{topic}", headers=event.headers("x"), data=event.body)
    assert (answer.status_code, receiver.get("/health/readiness").status_code) == (202, 204)
    log.close()
    (letter,) = kafka.read(topic)
    assert (letter.key, letter.headers) == (expected.key, expected.headers)


def _shown(receiver, name):
    text = receiver.get("/metrics").get_data(as_text=True)
    return [float(each.split()[1]) for each in text.splitlines() if each.startswith(name)]


def test_report_is_shown(receiver):
    """What a comparison found is shown to Prometheus, by source, with the time of it."""
    began_s = time.time()
    (started_s,) = _shown(receiver, "linewatch_missing_checked_timestamp_seconds")
    assert abs(began_s - started_s) < 60
    assert _shown(receiver, "linewatch_missing_events") == []
    for missing in (3, 0):
        answer = receiver.post("/missing", json={"source": "sentiment", "missing": missing})
        assert (answer.status_code, answer.data) == (204, b"")
        assert _shown(receiver, 'linewatch_missing_events{source="sentiment"}') == [missing]
    (checked_s,) = _shown(receiver, "linewatch_missing_checked_timestamp_seconds")
    assert checked_s > started_s


def test_wrong_report_is_400(receiver):
    """What is no report is refused with what it lacks, and shows nothing."""
    answer = receiver.post("/missing", json={"source": "whoever", "missing": 1})
    assert (answer.status_code, answer.json["status"]) == (400, 400)
    assert "use sentiment, board-scores" in answer.json["detail"]
    assert _shown(receiver, "linewatch_missing_events") == []


@pytest.mark.parametrize("env", [{"PORT": "0"}, {"MANIFESTS": "/nowhere"}])
def test_wrong_setting_stops_start(env, capsys):
    """A wrong setting is one line on stderr and status 2."""
    assert deadletters.main(env) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
