"""Holds the activator to passing requests on unchanged, and to telling what runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from eventing import activator as activator_module
from eventing import topology
from eventing.activator import Activator, ActivatorSettings, create, main, pairs
from eventing.replica import free_port
from linewatch import keys, settings
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from tests.support.source import ROOT
from tests.support.waiting import eventually

ENV = {**os.environ, "PYTHONPATH": f"{ROOT}/functions:{ROOT}"}
FUNCTIONS = "echo=tests.eventing.standin_function:create()"


@pytest.fixture(name="activator")
def _activator(redis_url):
    env = {
        **ENV,
        "FUNCTIONS": FUNCTIONS,
        "REDIS_URL": redis_url,
        "SINK_URL": "http://sink",
        "IDLE_WINDOW_S": "30",
    }
    log = RedisLog.at(redis_url)
    known = replace(topology.load(), bindings={"echo": "scores"})
    activator = Activator(settings.load(ActivatorSettings, env), known, env, log)
    activator.start()
    yield activator
    activator.close()
    log._client.close()


@pytest.fixture(name="door")
def _door(activator):
    return create(activator).test_client()


def test_request_passes_unchanged(door):
    """Method, path, query, headers and body reach the function, and its answer comes back."""
    answer = door.post("/echo/a%20b/c?x=1%202", data=b"\x00body", headers={"ce-id": "7"})
    assert (answer.status_code, answer.data) == (200, b"\x00body")
    assert answer.headers["X-Path"] == "/a b/c"
    seen = json.loads(door.put("/echo/seen?x=1", headers={"ce-id": "7"}).data)
    assert (seen["REQUEST_METHOD"], seen["QUERY_STRING"], seen["HTTP_CE_ID"]) == ("PUT", "x=1", "7")
    assert door.get("/echo/").headers["X-Path"] == "/"


def test_refusal_passes_unchanged(door):
    """A function's own 4xx comes back with its kne- headers: the source decides by them."""
    answer = door.post("/echo/refuse", data=b"why")
    assert (answer.status_code, answer.data) == (422, b"why")
    assert answer.headers["kne-reason"] == "bad"


def test_function_knows_its_sink(door):
    """Each function gets its own K_SINK."""
    assert json.loads(door.get("/echo/env").data)["K_SINK"] == "http://sink/scores"


def test_manifests_name_the_functions(redis_url):
    """Without FUNCTIONS the activator serves what the sources of the manifests deliver to."""
    told = settings.load(ActivatorSettings, {"REDIS_URL": redis_url})
    activator = Activator(told, topology.load(), ENV, None)
    assert activator.functions == {
        "sentiment": "linewatch.sentiment.app:create()",
        "board": "linewatch.board.app:create()",
    }


def test_unknown_function_is_404(door):
    """A function that does not exist is a problem that names those that do."""
    answer = door.post("/nobody/", data=b"")
    assert (answer.status_code, answer.json["status"]) == (404, 404)
    assert "use echo" in answer.json["detail"]
    assert door.get("/").json["status"] == 404


def test_activator_itself_is_healthy(door, activator):
    """Its own health paths answer without starting a function."""
    assert door.get("/health/liveness").status_code == 204
    assert door.get("/health/readiness").status_code == 204
    assert activator.counts() == {"echo.replicas": 0, "echo.cold_starts": 0}


def test_death_under_way_is_503(door):
    """A request whose process dies under it is 503 with Retry-After, and the next one works."""
    answer = door.post("/echo/die", data=b"")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    answer = eventually(lambda: (a := door.post("/echo/", data=b"x")).status_code == 200 and a)
    assert answer.data == b"x"


@pytest.fixture(name="rare_reports")
def _rare_reports(monkeypatch):
    """Let the activator report by itself only once an hour."""
    monkeypatch.setattr(activator_module, "_REPORT_S", 3600)


def test_replicas_are_reported(rare_reports, door, redis_url):
    """The dashboard's hash shows 0 processes, then 1 and a cold start, unasked by any timer."""
    with connect(redis_url) as client:
        key = keys.health("functions")
        eventually(lambda: client.hget(key, "echo.replicas") == b"0")
        door.post("/echo/", data=b"")
        eventually(lambda: client.hget(key, "echo.replicas") == b"1")
        assert client.hget(key, "echo.cold_starts") == b"1"


def test_large_body_is_413(door):
    """More than 8 MiB is not passed on."""
    assert door.post("/echo/", data=b"x" * (8 * 1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize("raw", ["echo", "=x", "echo=", "health=a:b", "a b=c"])
def test_bad_pairs_are_refused(raw):
    """A function needs a plain name and a target; health is the activator's own path."""
    with pytest.raises(ValueError, match="use name=value"):
        pairs(raw)


def test_wrong_setting_stops_start(capsys):
    """A wrong setting is one line on stderr and status 2."""
    assert main({"FUNCTIONS": "nonsense", "PORT": "x"}) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "FUNCTIONS: use name=value" in error
    assert "PORT: must be" in error


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_process_leaves_no_orphan(redis_url, ending):
    """The real activator holds the first request, and leaves no process however it ends."""
    port = free_port()
    env = {**ENV, "FUNCTIONS": FUNCTIONS, "REDIS_URL": redis_url, "PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "eventing.activator"], env=env, cwd=ROOT)
    try:
        eventually(lambda: _answers(port))
        told = json.loads(_ask(port, "/echo/env"))
        replica = int(told["ppid"])
        process.send_signal(ending)
        status = process.wait(60)
        assert status == (0 if ending == signal.SIGTERM else -signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{replica}").exists())
    finally:
        process.kill()
        process.wait()


def _ask(port, path):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def _answers(port):
    try:
        return _ask(port, "/health/readiness") == b""
    except OSError:
        return False
