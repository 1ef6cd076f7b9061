"""The function inside the scaffold that `kn func` puts around it: built, started, asked, ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess

import pytest

from infra.launcher import redis_server
from linewatch import events
from linewatch.calls import Channel, ChannelKey, Utterance
from tests.function import scaffold
from tests.support.source import ROOT
from tests.support.waiting import eventually

_DEADLINE_S = 60


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory):
    """The scaffold's folder and the interpreter of the environment it was installed into."""
    place = tmp_path_factory.mktemp("func")
    scaffold.copy_of(ROOT, place / "root")
    build = scaffold.write(place / "root")
    return build, scaffold.install(build, place / "environment")


@pytest.fixture(scope="module", name="served")
def _served(built, tmp_path_factory):
    """The port of the started scaffold, and its process."""
    build, python = built
    port = redis_server.free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "REPLY": "true",
    }
    output = tmp_path_factory.mktemp("served") / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [python, build / "service" / "main.py"],
            cwd=build / "f",
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: _is_ready(process, port, output))
        yield port, process
    finally:
        process.kill()
        process.wait()


def _is_ready(process, port, output):
    assert process.poll() is None, f"the scaffold ended: {output.read_text()[-2000:]}"
    try:
        return _ask(port, "GET", "/health/readiness")[0] == 200
    except OSError:
        return False


def _ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_DEADLINE_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_copy_holds_the_function(built):
    """Func gets the code, and neither the lock nor what other roles are made of."""
    build, _ = built
    names = {path.name for path in (build / "f").iterdir()}
    assert {"functions", "func.yaml", "pyproject.toml", "README.md"} <= names
    assert not names & {"requirements.txt", "tests", "infra", "eventing", "Procfile", ".venv"}


def test_environment_is_lean(built):
    """The scaffold runs with what the function declares: another role's packages are not there."""
    _, python = built
    seen = "import importlib.util as u; print([n for n in ('streamlit', 'vosk') if u.find_spec(n)])"
    said = subprocess.run([python, "-c", seen], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_scaffold_scores_event(served):
    """A POSTed utterance is answered with its score, an event with the utterance's own key."""
    port, _ = served
    key = ChannelKey("acme", "call-7", Channel.CUSTOMER)
    text = "i want to cancel my contract"
    said = Utterance(key, 1_700_000_000_000, 3, 48_000, 6_000, 9_000, text)
    headers, body = events.to_http(events.utterance_final(said))
    status, answered, scored = _ask(port, "POST", "/", body, headers)
    assert status == 200
    assert answered["ce-type"] == "linewatch.utterance.scored.v1"
    assert json.loads(scored)["polarity"] < 0


def test_scaffold_is_alive(served):
    """Func's liveness path answers."""
    port, _ = served
    assert _ask(port, "GET", "/health/liveness")[0] == 200


def test_scaffold_refuses_nonsense(served):
    """A request that is no event is refused for good, not answered 500 and tried again."""
    port, _ = served
    status, *_ = _ask(port, "POST", "/", b"hello", {"content-type": "text/plain"})
    assert status == 400


def test_sigterm_ends_scaffold(served):
    """SIGTERM ends the process with 0: the pod goes away at once, and nothing is logged as lost."""
    _, process = served
    process.send_signal(signal.SIGTERM)
    assert process.wait(_DEADLINE_S) == 0
