"""The launcher's command: settings, ports, and starts that cannot work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from infra import local
from infra.launcher import roles, state
from infra.launcher.redis_server import free_port
from infra.model import preparation
from linewatch.errors import SettingsError
from linewatch.settings import load
from tests.infra.standins import IMPORTS, Heard

USUAL = load(local.LocalSettings, {})


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return state.open_folder(tmp_path)


@pytest.fixture(autouse=True)
def _prepared(monkeypatch, tmp_path):
    """No test here fetches a model."""
    monkeypatch.setattr(preparation, "prepare", lambda: tmp_path)


def launcher(**env):
    """Run the command to its end and return it."""
    return subprocess.run(
        [sys.executable, "-m", "infra.local"],
        env={**IMPORTS, **env},
        cwd=roles.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_usual_settings():
    """Nothing set is eight lines and two decoders on a Redis of our own."""
    assert (USUAL.lines, USUAL.decoders, USUAL.redis_url) == (8, 2, "")


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"LINES": "many"}, "LINES: must be a whole number from 0 to 500"),
        ({"DECODERS": "0"}, "DECODERS: must be from 1 to 16"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL: must begin with redis://"),
        ({"HOLD": "2"}, "HOLD: must be from 0 to 0.9"),
        ({"TENANT": "a b"}, "TENANT: use 1 to 128 letters"),
        (
            {"CALLS_DIR": "/nonexistent"},
            "CALLS_DIR: the folder does not exist: give an existing one",
        ),
        ({"SINK_TIMEOUT_S": "soon"}, "SINK_TIMEOUT_S: must be a number"),
        ({"LOG": "nats"}, "LOG: use one of redis, kafka"),
        (
            {"STREAMLIT_SERVER_BASE_URL_PATH": "/board?"},
            "STREAMLIT_SERVER_BASE_URL_PATH: use letters, digits and . _ ~ - between slashes",
        ),
        ({"STATE_DIR": "/dev/null/x"}, "STATE_DIR=/dev/null/x: Not a directory; choose another"),
    ],
)
def test_wrong_setting_is_one_line(env, line):
    """A wrong setting stops the start with one line that names it, and status 2."""
    run = launcher(**env)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith(f"Linewatch cannot start: {line}")


def test_missing_model_says_command(tmp_path):
    """Where no model is to be had the start stops with one line."""
    run = launcher(
        VOSK_MODEL_PATH=str(tmp_path / "no-model"),
        LINEWATCH_HOME=str(tmp_path / "home"),
        STATE_DIR=str(tmp_path / "state"),
    )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("Linewatch cannot start: ")
    assert "Traceback" not in run.stderr


def test_taken_port_is_told():
    """A usual port that is taken is replaced, and the new one is told."""
    heard = Heard()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        settings = load(local.LocalSettings, {"DASHBOARD_PORT": str(taken)})
        chosen = local.choose_ports(settings, {}, heard.say)
    assert chosen.dashboard != taken
    assert heard.said(
        "linewatch", f"port {taken} is taken: the dashboard listens on {chosen.dashboard}"
    )


def test_demanded_port_is_taken():
    """A port that the environment demands and somebody has stops the start."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {"ACTIVATOR_PORT": str(server.getsockname()[1])}
        with pytest.raises(SettingsError, match="ACTIVATOR_PORT="):
            local.choose_ports(load(local.LocalSettings, env), env, Heard().say)


def test_ports_never_clash():
    """Roles that ask for the same port get different ones."""
    port = str(free_port())
    names = ("DECODER_PORT", "ACTIVATOR_PORT", "SINK_PORT", "DASHBOARD_PORT")
    settings = load(local.LocalSettings, dict.fromkeys(names, port))
    chosen = local.choose_ports(settings, {}, Heard().say)
    everyone = [*chosen.decoders, chosen.activator, chosen.sink, chosen.dashboard]
    assert len(set(everyone)) == len(everyone) == 5


def test_given_redis_is_used(folder):
    """With REDIS_URL no Redis is started, and no folder is locked."""
    env = {"REDIS_URL": "redis://127.0.0.1:6399/3"}
    settings = load(local.LocalSettings, env)
    site = local.site_of(settings, folder, env, Heard().say)
    assert site.redis_url == "redis://127.0.0.1:6399/3"
    assert local.redis_stage(settings, folder, site) == ()
    os.close(state.lock(folder, patience_s=0))


@pytest.mark.parametrize(
    ("env", "brokers"),
    [
        ({}, ""),
        ({"KAFKA_BROKERS": "mine:1"}, ""),
        ({"LOG": "kafka"}, "127.0.0.1:9092"),
        ({"LOG": "kafka", "KAFKA_BROKERS": "mine:1"}, "mine:1"),
    ],
)
def test_log_is_chosen(folder, env, brokers):
    """LOG=kafka is the log in Kafka, at the usual address or yours; else it is Redis."""
    site = local.site_of(load(local.LocalSettings, env), folder, env, Heard().say)
    assert site.brokers == brokers


@pytest.mark.parametrize(
    ("given", "path"),
    [("", ""), ("/", ""), ("board", "/board"), ("/board/", "/board"), ("a/b-2", "/a/b-2")],
)
def test_address_ends_with_path(folder, given, path):
    """The address that is printed ends with the path that the dashboard is served under."""
    env = {"STREAMLIT_SERVER_BASE_URL_PATH": given}
    site = local.site_of(load(local.LocalSettings, env), folder, env, Heard().say)

    assert site.dashboard_url == f"http://127.0.0.1:{site.ports.dashboard}{path}"


def test_own_redis_is_locked(folder):
    """Without REDIS_URL a Redis of our own gets the folder, its lock and the site's port."""
    site = local.site_of(USUAL, folder, {}, Heard().say)
    (role,) = local.redis_stage(USUAL, folder, site)
    port = site.redis_url.removeprefix("redis://127.0.0.1:").removesuffix("/0")
    assert role.command[role.command.index("--port") + 1] == port
    with pytest.raises(SettingsError):
        state.lock(folder, patience_s=0)
    os.close(*role.pass_fds)


def test_cookie_key_is_kept(folder):
    """Two starts in one folder sign with the same key, so that cookies stay valid."""
    first, second = (local.site_of(USUAL, folder, {}, Heard().say) for _ in range(2))
    assert first.cookie_key == second.cookie_key
