"""Holds a function's process to existing only while it is wanted."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from eventing.replica import Replica, command
from linewatch.errors import Unavailable
from tests.support.source import ROOT
from tests.support.waiting import eventually

FUNCTION = "tests.eventing.standin_function:create()"
ENV = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}/functions:{ROOT}",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture(name="make")
def _make():
    """Make replicas and end their processes."""
    made = []

    def make(env=None, **options):
        options = {"idle_window_s": 30, **options}
        replica = Replica("echo", FUNCTION, {**ENV, **(env or {})}, **options)
        made.append(replica)
        return replica

    yield make
    for replica in made:
        replica.close()


def _alive(pid):
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def _get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read()


def test_nothing_runs_unasked(make):
    """A function nobody asked for has no process."""
    replica = make()
    assert (replica.replicas, replica.pid, replica.cold_starts) == (0, None, 0)


def test_request_starts_process(make, caplog):
    """The first request is held until the process is ready, and the cold start is timed."""
    caplog.set_level(logging.INFO)
    replica = make({"WARM_S": "0.3"})
    port = replica.acquire()
    assert _get(port, "/health/readiness") == b""
    assert (replica.replicas, replica.cold_starts) == (1, 1)
    assert "cold start 1, bound " in caplog.text
    replica.release()


def test_burst_starts_one_process(make):
    """Requests that arrive while it starts are all held, and share one process."""
    replica = make()
    ports = []
    threads = [threading.Thread(target=lambda: ports.append(replica.acquire())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ports) == 20
    assert len(set(ports)) == 1
    assert replica.cold_starts == 1


def test_idle_process_ends(make, caplog):
    """After the idle window without requests the process does not exist any more."""
    caplog.set_level(logging.INFO)
    replica = make(idle_window_s=0.3)
    replica.acquire()
    pid = replica.pid
    replica.release()
    eventually(lambda: replica.replicas == 0)
    assert not _alive(pid)
    assert "scales to zero" in caplog.text


def test_request_under_way_is_use(make):
    """A process is not idle while a request is under way, however long."""
    replica = make(idle_window_s=0.2)
    replica.acquire()
    time.sleep(0.8)
    assert replica.replicas == 1


def test_next_request_starts_anew(make):
    """After it scaled to zero, the next request starts it again."""
    replica = make(idle_window_s=0.1)
    replica.acquire()
    replica.release()
    eventually(lambda: replica.replicas == 0)
    _get(replica.acquire())
    assert replica.cold_starts == 2


def test_dead_process_is_replaced(make, caplog):
    """A process that dies is said so, and started again for the next request."""
    replica = make()
    replica.acquire()
    replica.release()
    os.kill(replica.pid, 9)
    eventually(lambda: replica.replicas == 0)
    assert "died" in caplog.text
    _get(replica.acquire())
    assert replica.cold_starts == 2


def test_broken_start_fails_requests(make, caplog):
    """A process that ends while it starts fails the requests that waited, at once."""
    replica = make({"BROKEN": "1"})
    with pytest.raises(Unavailable, match="echo did not start"):
        replica.acquire()
    assert "ended while it started" in caplog.text
    eventually(lambda: replica.replicas == 0)


def test_slow_start_is_given_up(make, caplog):
    """A process that is not ready in its time is ended, and its requests fail."""
    replica = make({"WARM_S": "60"}, start_s=1)
    with pytest.raises(Unavailable):
        replica.acquire()
    assert "not ready within 1 s" in caplog.text
    assert replica.replicas == 0


def test_close_ends_process(make):
    """Closing ends the process and fails who still waits."""
    replica = make()
    replica.acquire()
    pid = replica.pid
    replica.close()
    assert not _alive(pid)
    with pytest.raises(Unavailable):
        replica.acquire()


def test_bytecode_is_compiled(make):
    """The process may write bytecode: else every cold start compiles its imports anew."""
    replica = make()
    assert b"PYTHONDONTWRITEBYTECODE" not in _get(replica.acquire(), "/env")


def test_changes_are_told(make):
    """Whoever watches is told when a process comes and when it goes."""
    counts = []
    replica = make(idle_window_s=0.1, on_change=lambda: counts.append(replica.replicas))
    replica.acquire()
    replica.release()
    eventually(lambda: counts == [1, 0])


def test_command_is_a_list():
    """The process is gunicorn with our configuration, without a shell."""
    assert command("a:b()", 1234) == [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:linewatch.serving.gunicorn_conf",
        "-b",
        "127.0.0.1:1234",
        "a:b()",
    ]


def test_killed_parent_leaves_none(tmp_path):
    """A process whose activator is killed with SIGKILL ends too."""
    script = (
        "import os\n"
        "from eventing.replica import Replica\n"
        f"replica = Replica('echo', '{FUNCTION}', os.environ, idle_window_s=60)\n"
        "replica.acquire()\n"
        "print(replica.pid, flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        pid = int(parent.stdout.readline())
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert _alive(pid)
        assert workers
        parent.kill()
        eventually(lambda: not any(_alive(each) for each in (pid, *workers)))


def test_orphan_does_not_start():
    """A process whose activator is gone before it began does not begin."""
    env = {**ENV, "ACTIVATOR_PID": "1"}
    process = subprocess.run(
        command(FUNCTION, 1),
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert process.returncode != 0
    assert b"the activator is gone" in process.stderr
