"""Holds the dead letters to being listed and brought back whole."""

from __future__ import annotations

import pytest

from eventing import dead_letters, topics, topology
from eventing.delivery.kafkasource_request import Failure, dead_letter, event_of
from eventing.replica import free_port
from linewatch import keys
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from linewatch.events import Record
from linewatch.keys import UNREADABLE
from tests.eventing.subscriber import record
from tests.support.kafka_broker import write_manifests


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    yield log
    log._client.close()


def _bury(log, name, made):
    _bury_in(log, topology.load().source(name), made)


def _bury_in(log, source, made):
    fields = {key.encode(): value for key, value in made.fields().items()}
    event, key = event_of(source, Entry(0, 1_000_000, fields, 1))
    failure = Failure("http://f/", 422, b"secret words", {"kne-reason": "bad-schema"})
    log.publish([dead_letter(source, event, key, failure)])


def _run(redis_url, *arguments):
    return dead_letters.main(arguments, {"REDIS_URL": redis_url})


def test_list_tells_reason(log, redis_url, capsys):
    """Each dead letter is one line: source, event, status and reason; never the answer's words."""
    _bury(log, "sentiment", record("call-7"))
    assert _run(redis_url, "list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("sentiment ")
    assert "linewatch.call.started.v1 /tenants/default/calls/call-7 started" in line
    assert line.endswith(": 422 bad-schema from http://f/")
    assert "secret" not in line


def test_replay_restores_original(log, redis_url, capsys):
    """A replayed event lies in its topic as it was first published, and is buried no more."""
    made = record("call-7")
    _bury(log, "sentiment", made)
    assert _run(redis_url, "replay") == 0
    assert capsys.readouterr().out == "1 replayed\n"
    (entry,) = log.entries("utterances")
    assert Record.of_fields(entry.fields) == made
    assert log.count("dead-sentiment") == 0


def test_one_source_replays_alone(log, redis_url, capsys):
    """With --source, the other sources' dead letters stay where they are."""
    _bury(log, "sentiment", record())
    _bury(log, "board-calls", record(topic="calls"))
    assert _run(redis_url, "replay", "--source", "board-calls") == 0
    assert (log.count("dead-sentiment"), log.count("dead-board-calls")) == (1, 0)
    assert log.count("calls") == 1
    capsys.readouterr()


def test_refused_of_relay_is_listed(redis_url, capsys):
    """What the log refused of the relay is listed with the reason, unless a source is asked for."""
    made = record("call-7")
    with connect(redis_url) as client:
        fields = {**made.fields(), "reason": b"Kafka takes records of 1048576 bytes at most"}
        client.xadd(keys.log(UNREADABLE, made.partition), fields)
    assert _run(redis_url, "list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("relay ")
    assert line.endswith(" started: Kafka takes records of 1048576 bytes at most")
    assert _run(redis_url, "list", "--source", "sentiment") == 0
    assert capsys.readouterr().out == ""


def test_kafka_is_replayed_once(kafka, tmp_path, redis_url, capsys):
    """On Kafka a dead letter is listed and replayed as in Redis, and not a second time."""
    prefix = write_manifests(tmp_path)
    env = {**kafka.env, "MANIFESTS": str(tmp_path), "REDIS_URL": redis_url}
    assert topics.main(env) == 0
    kafka_log = kafka.log()
    made = [record(f"call-{number}", f"{prefix}-utterances") for number in range(3)]
    source = topology.load(tmp_path).source("sentiment")
    for each in made:
        _bury_in(kafka_log, source, each)
    kafka_log.close()
    capsys.readouterr()
    assert dead_letters.main(["list"], env) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for count in (3, 0):
        assert dead_letters.main(["replay"], env) == 0
        assert capsys.readouterr().out == f"{count} replayed\n"
    found = sorted(kafka.read(f"{prefix}-utterances"), key=lambda each: each.key)
    assert found == made


def test_unknown_source_stops(redis_url, capsys):
    """A source that does not exist is one clear line and status 2."""
    assert _run(redis_url, "list", "--source", "nobody") == 2
    assert capsys.readouterr().err.startswith("there is no source 'nobody'")


def test_absent_log_stops(capsys):
    """Without Redis the command says so, with status 2."""
    assert _run(f"redis://127.0.0.1:{free_port()}/0", "list") == 2
    assert "event log is away" in capsys.readouterr().err
