"""Holds the dead letters to being told and brought back whole."""

from __future__ import annotations

import pytest

from eventing import dead_letters, topology
from eventing.log_redis import Entry, Log
from eventing.replica import free_port
from eventing.request import Failure, dead_letter, event_of
from linewatch.events import Record
from tests.eventing.subscriber import record


@pytest.fixture(name="log")
def _log(redis_url):
    log = Log.at(redis_url)
    yield log
    log._client.close()


def _bury(log, name, made):
    source = topology.load().source(name)
    fields = {key.encode(): value for key, value in made.fields().items()}
    event, key = event_of(source, Entry(0, "1-0", fields))
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


def test_unknown_source_stops(redis_url, capsys):
    """A source that does not exist is one clear line and status 2."""
    assert _run(redis_url, "list", "--source", "nobody") == 2
    assert capsys.readouterr().err.startswith("there is no source 'nobody'")


def test_absent_log_stops(capsys):
    """Without Redis the command says so, with status 2."""
    assert _run(f"redis://127.0.0.1:{free_port()}/0", "list") == 2
    assert "event log is away" in capsys.readouterr().err
