"""What the image starts for each role."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from linewatch.serving import gunicorn_conf
from tests.infra.standins import ROOT

ROLES = [
    "board",
    "decoder",
    "sentiment",
    "dispatcher",
    "sink",
    "deadletters",
    "missing",
    "topics",
    "gateway",
    "dashboard",
]
_ROUTES = "Iface Destination Gateway Flags\n"
_PYTHON = """#!/bin/sh
printf '%s\\n' "$@"
echo "hosts=${STREAMLIT_SERVER_ALLOWED_HOSTS:-}"
echo "preload=${LD_PRELOAD:-} port=$PORT bind=$BIND path=$PYTHONPATH"
"""


@pytest.fixture(name="start")
def _start(tmp_path):
    """Run the entrypoint with a stand-in for the image's interpreter."""
    python = tmp_path / "python" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(_PYTHON)
    python.chmod(0o755)
    (tmp_path / "decoder.env").write_text("export LD_PRELOAD=\n")
    (tmp_path / "route").write_text(f"{_ROUTES}eth0 00000000 010200C0 0003\n")
    (tmp_path / "if_inet6").touch()

    def run(*arguments, **env):
        own = {"LINEWATCH_OPT": str(tmp_path), "LINEWATCH_NET": str(tmp_path)}
        kept = {"PATH": os.environ["PATH"], **own}
        command = ["/bin/sh", ROOT / "infra" / "image" / "entrypoint.sh", *arguments]
        return subprocess.run(
            command, cwd="/", env={**kept, **env}, capture_output=True, text=True, check=False
        )

    run.folder = tmp_path
    return run


@pytest.mark.parametrize("role", ROLES)
def test_role_starts_a_module(start, role):
    """Each role runs a module that exists, on every address and port 8080."""
    done = start(role)
    assert done.returncode == 0, done.stderr
    *command, told = done.stdout.splitlines()
    assert command[0] == "-m"
    assert importlib.util.find_spec(command[1]), command[1]
    assert "port=8080 bind=0.0.0.0" in told
    assert told.endswith(f"path={ROOT}/functions:{ROOT}")


@pytest.mark.parametrize("role", ["decoder", "sentiment", "board"])
def test_role_serves_an_app(start, role):
    """Gunicorn is told of an application factory that is in the code."""
    target = next(line for line in start(role).stdout.splitlines() if line.endswith(":create()"))
    module = importlib.util.find_spec(target.removesuffix(":create()"))
    tree = ast.parse(Path(module.origin).read_text())
    assert "create" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_only_decoder_gets_allocator(start):
    """What the model's digest stands for is set for the decoder, and for no other role."""
    (start.folder / "decoder.env").write_text("export LD_PRELOAD=/not/there.so\n")
    said = {role: start(role).stdout.splitlines()[-1] for role in ROLES}
    with_it = {role for role, line in said.items() if "preload=/not/there.so" in line}
    assert with_it == {"decoder"}


def test_functions_take_eight(start):
    """A function is served by the one gunicorn configuration, with its eight threads."""
    words = start("sentiment").stdout.splitlines()
    assert words[words.index("-c") + 1] == f"python:{gunicorn_conf.__name__}"
    assert words[words.index("--bind") + 1] == "0.0.0.0:8080"


@pytest.mark.parametrize("bind", ["::1", "[::1]"])
def test_bind_may_be_ipv6(start, bind):
    """An address of IPv6 stands in brackets where a port follows, and nowhere else."""
    assert "[::1]:8080" in start("board", BIND=bind).stdout.splitlines()
    dashboard = start("dashboard", BIND=bind).stdout.splitlines()
    assert dashboard[dashboard.index("--server.address") + 1] == "::1"
    assert "bind=::1" in start("decoder", BIND=bind).stdout


def test_dashboard_knows_its_address(start):
    """The dashboard opens under the one address it listens on, too; the owner's names go first."""
    assert "hosts=\n" in start("dashboard").stdout
    assert "hosts=localhost 127.0.0.1 ::1 10.0.0.5\n" in start("dashboard", BIND="10.0.0.5").stdout
    named = start("dashboard", BIND="10.0.0.5", STREAMLIT_SERVER_ALLOWED_HOSTS="board.example")
    assert "hosts=board.example\n" in named.stdout


def test_pod_without_ipv4(start):
    """In a pod without a route of IPv4 a role listens on IPv6, unless BIND says otherwise."""
    (start.folder / "route").write_text(_ROUTES)
    assert "[::]:8080" in start("board").stdout.splitlines()
    assert "bind=:: " in start("gateway").stdout
    assert "0.0.0.0:8080" in start("board", BIND="0.0.0.0").stdout.splitlines()
    (start.folder / "if_inet6").unlink()
    assert "0.0.0.0:8080" in start("board").stdout.splitlines()


def test_port_may_be_given(start):
    """PORT, which Knative sets, says where a role listens."""
    assert "0.0.0.0:9191" in start("board", PORT="9191").stdout.splitlines()
    assert "9191" in start("dashboard", PORT="9191").stdout.splitlines()


def test_role_from_environment(start):
    """With no command, as `kn func` deploys an image, ROLE names the role."""
    assert start(ROLE="board").stdout == start("board").stdout


def test_command_beats_environment(start):
    """The command names the role where both do, and what follows goes to the program."""
    done = start("gateway", "--seed", "7", ROLE="board")
    assert done.stdout.splitlines()[:4] == ["-m", "linewatch.gateway", "--seed", "7"]


@pytest.mark.parametrize("arguments", [(), ("decoders",)])
def test_unknown_role_is_refused(start, arguments):
    """A role that there is not ends the start with one line that names those there are."""
    done = start(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(" ".join(ROLES))
    assert done.stderr.count("\n") == 1
