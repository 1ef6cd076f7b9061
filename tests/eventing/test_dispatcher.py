"""Holds the dispatcher, as a process, to losing nothing whatever happens around it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import urllib3

from eventing import topics, topology
from eventing.dispatcher import Dispatcher, DispatcherSettings, main
from eventing.replica import free_port
from infra.launcher import redis_server
from linewatch import keys, settings
from linewatch.errors import StoreUnavailable
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from tests.eventing.subscriber import Subscriber, record
from tests.support.kafka_broker import write_manifests
from tests.support.source import ROOT
from tests.support.waiting import eventually


@pytest.fixture(name="function")
def _function():
    with Subscriber() as function:
        yield function


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    yield log
    log._client.close()


@pytest.fixture(name="start")
def _start(redis_url, function):
    """Start dispatchers that deliver to the function, and end them."""
    started = []

    def start(**env):
        process = subprocess.Popen(
            [sys.executable, "-m", "eventing.dispatcher"],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}/functions:{ROOT}",
                "REDIS_URL": redis_url,
                "SERVICE_URL": function.url + "{name}",
                **env,
            },
        )
        started.append(process)
        return process

    yield start
    function.gate.set()
    for process in started:
        process.kill()
        process.wait()


def _is_published(log, made):
    try:
        log.publish([made])
    except StoreUnavailable:
        return False
    return True


def _answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True


def _calls(function):
    return [request.call for request in function.requests]


def _is_left_alone(log):
    """Tell whether nobody waits for entries, for two seconds: a reader waits for one at a time."""
    for _ in range(40):
        if log._client.info("clients")["blocked_clients"]:
            return False
        time.sleep(0.05)
    return True


def test_sources_reach_their_services(log, function, start):
    """Each source's topic is delivered to the path of its Service."""
    for topic in ("utterances", "scores", "calls"):
        log.publish([record(f"call-{topic}", topic)])
    start()
    eventually(lambda: len(function.requests) == 3)
    assert {(request.call, request.path) for request in function.requests} == {
        ("call-utterances", "/fn/sentiment/"),
        ("call-scores", "/fn/board/"),
        ("call-calls", "/fn/board/"),
    }


def test_sigterm_settles_and_ends(log, function, start):
    """On SIGTERM a delivery under way is settled, a newer event is left, and the status is 0."""
    function.gate.clear()
    process = start()
    log.publish([record("call-1")])
    eventually(lambda: function.requests)
    process.send_signal(signal.SIGTERM)
    eventually(lambda: _is_left_alone(log))
    log.publish([record("call-2")])
    function.gate.set()
    assert process.wait(60) == 0
    assert _calls(function) == ["call-1"]
    assert log.lags("utterances", ["linewatch-sentiment"]) == (1,)
    start()
    eventually(lambda: _calls(function) == ["call-1", "call-2"])


def test_sigterm_waits_only_grace(log, function, start):
    """A delivery that hangs does not keep the process from ending with status 0."""
    function.gate.clear()
    process = start(GRACE_S="0.3")
    log.publish([record()])
    eventually(lambda: function.requests)
    process.send_signal(signal.SIGTERM)
    # Less than the delivery's own time-out, 30 s.
    assert process.wait(25) == 0


def test_killed_dispatcher_loses_nothing(log, function, start):
    """After kill -9 in the middle of deliveries, the next start delivers what was not settled."""
    function.gate.clear()
    process = start()
    calls = [f"call-{number}" for number in range(20)]
    log.publish([record(call) for call in calls])
    eventually(lambda: len(function.requests) == 20)
    process.kill()
    process.wait()
    function.requests.clear()
    function.gate.set()
    start()
    eventually(lambda: sorted(_calls(function)) == sorted(calls))


def test_redis_outage_is_outlived(function, start, tmp_path):
    """While Redis is away the dispatcher waits, and goes on by itself when it is back."""
    port = redis_server.free_port()
    url = f"redis://127.0.0.1:{port}/0"
    server = redis_server.start(port, tmp_path)
    log = RedisLog.at(url)
    try:
        process = start(REDIS_URL=url)
        log.publish([record("call-1")])
        eventually(lambda: len(function.requests) == 1)
        server.terminate()
        server.wait()
        server = redis_server.start(port, tmp_path)
        # It listens before it has read its file.
        eventually(lambda: _is_published(log, record("call-2")))
        eventually(lambda: "call-2" in _calls(function))
        assert process.poll() is None
    finally:
        log._client.close()
        server.terminate()
        server.wait()


def test_lag_and_letters_reported(log, function, start, redis_url):
    """The dashboard's hash tells each source's lag and dead letters."""
    function.gate.clear()
    function.answers = [400]
    log.publish([record("call-1")])
    log.publish([record("call-2", "scores")])
    start()
    with connect(redis_url) as client:
        key = keys.health("dispatcher")
        eventually(lambda: client.hget(key, "lag.sentiment") == b"1")
        (entry,) = log.entries("utterances")
        written_at_ms = str(entry.written_at_ms).encode()
        eventually(lambda: client.hget(key, "oldest.sentiment") == written_at_ms)
        function.gate.set()
        eventually(lambda: client.hget(key, "lag.sentiment") == b"0")
        eventually(lambda: client.hget(key, "oldest.sentiment") == b"0")
        told = client.hgetall(key)
    assert {name.decode() for name in told} == {
        f"{kind}.{source}"
        for kind in ("lag", "dead", "oldest")
        for source in ("sentiment", "board-scores", "board-calls")
    }
    assert int(told[b"dead.sentiment"]) + int(told[b"dead.board-scores"]) == 1


def test_settled_log_is_trimmed(redis_url, log, monkeypatch):
    """A survey drops what was settled long ago and counts what is not."""
    monkeypatch.setattr("linewatch.eventlog.redis._TRIMMED_S", 0)
    told = settings.load(DispatcherSettings, {"REDIS_URL": redis_url})
    dispatcher = Dispatcher(told, topology.load())
    log.ensure(group := Group("utterances", "linewatch-sentiment", "any"))
    log.publish([record("call-1"), record("call-1")])
    first, _ = log.read(group, count=2)
    log.acknowledge(group, first)
    time.sleep(0.005)
    assert dispatcher.survey()["lag.sentiment"] == 1
    assert log.count("utterances") == 1
    dispatcher._log._client.close()


def test_container_source_runs_one(log, function, start):
    """With SOURCE and K_SINK one source is run, and delivered to K_SINK whatever its Service is."""
    log.publish([record("call-1", "scores"), record("call-2", "utterances")])
    start(SOURCE="board-scores", K_SINK=function.url + "own?x=1", SERVICE_URL="http://127.0.0.1:1")
    eventually(lambda: function.requests)
    time.sleep(0.3)
    assert [(each.call, each.path) for each in function.requests] == [("call-1", "/fn/own?x=1")]


def test_named_sources_run_alone(log, function, start):
    """Of several sources those that are named are run."""
    log.publish([record(f"call-{topic}", topic) for topic in ("utterances", "scores", "calls")])
    start(SOURCE="board-scores,board-calls")
    eventually(lambda: len(function.requests) == 2)
    time.sleep(0.3)
    assert sorted(_calls(function)) == ["call-calls", "call-scores"]


def test_health_port_tells_metrics(log, function, start):
    """With a PORT the dispatcher answers probes, and tells lag, letters and deliveries."""
    port = free_port()
    start(PORT=str(port))
    log.publish([record()])
    eventually(lambda: function.requests)
    ask = urllib3.PoolManager(retries=False).request
    shown = f"http://127.0.0.1:{port}"
    alone = {"Connection": "close"}
    assert ask("GET", f"{shown}/health/liveness", headers=alone).status == 200
    eventually(lambda: ask("GET", f"{shown}/health/readiness", headers=alone).status == 200)
    told = 'linewatch_deliveries_total{outcome="delivered",source="sentiment"} 1.0'
    eventually(lambda: told in ask("GET", f"{shown}/metrics", headers=alone).data.decode())
    eventually(
        lambda: (
            'linewatch_source_lag{source="sentiment"} 0.0'
            in ask("GET", f"{shown}/metrics", headers=alone).data.decode()
        )
    )


def test_own_lag_alone_is_asked(monkeypatch):
    """One of several dispatchers on Kafka asks for the lag of its own source and no other's."""
    told = {"KAFKA_BROKERS": "127.0.0.1:1", "SOURCE": "sentiment"}
    dispatcher = Dispatcher(settings.load(DispatcherSettings, told), topology.load())
    asked = []

    def lags(_, __, groups):
        asked.extend(groups)
        return (3,) * len(groups)

    monkeypatch.setattr(KafkaLog, "lags", lags)
    monkeypatch.setattr(KafkaLog, "dead", lambda *_: 1)
    assert dispatcher.survey() == {"lag.sentiment": 3, "dead.sentiment": 1, "oldest.sentiment": 0}
    assert asked == ["linewatch-sentiment"]


def test_kafka_is_dispatched(kafka, function, start, tmp_path):
    """With KAFKA_BROKERS the sources are read from Kafka, settled there, and left at a stop."""
    prefix = write_manifests(tmp_path)
    told = {**kafka.env, "MANIFESTS": str(tmp_path)}
    assert topics.main(told) == 0
    kafka_log = kafka.log()
    kafka_log.publish([record("call-1", f"{prefix}-utterances"), record("x", f"{prefix}-calls")])
    process = start(**told)
    eventually(lambda: len(function.requests) == 2)
    assert {each.path for each in function.requests} == {"/fn/sentiment/", "/fn/board/"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    group = f"{prefix}-linewatch-sentiment"
    assert kafka_log.lags(f"{prefix}-utterances", [group]) == (0,)
    kafka_log.close()


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "1", "KAFKA_TOPICS_S": "0"},
            "Kafka at 127.0.0.1:1 does not let us in: 111 ECONN",
        ),
        ({"K_SINK": "http://x"}, "K_SINK takes one source: set SOURCE to one of sentiment, board-"),
        ({"SOURCE": "nobody"}, "there is no source 'nobody'"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_BROKERS": "127.0.0.1:1"}, "set all or none"),
    ],
)
def test_impossible_start_is_told(env, line, capsys):
    """What cannot work stops the start with one line and status 2."""
    assert main(env) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"SERVICE_URL": "ftp://x", "GRACE_S": "long"}, ["SERVICE_URL", "GRACE_S"]),
        ({"REDIS_URL": "here"}, ["REDIS_URL"]),
        ({"REDIS_URL": "redis://host:port"}, ["REDIS_URL"]),
        ({"MANIFESTS": "/nowhere"}, ["MANIFESTS"]),
    ],
)
def test_wrong_setting_stops_start(env, names, capsys):
    """Wrong settings are one line on stderr that names them all, and status 2."""
    assert main(env) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert all(name in error for name in names)


def test_absent_redis_is_no_crash(start):
    """Without Redis the dispatcher starts and waits, instead of dying."""
    port = free_port()
    process = start(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", PORT=str(port))
    eventually(lambda: _answers(port))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_failed_report_is_survived(caplog):
    """A report that Redis does not take ends nothing."""
    caplog.set_level(logging.DEBUG)
    env = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    Dispatcher(settings.load(DispatcherSettings, env), topology.load())._look_after()
    assert "no report" in caplog.text
