"""Servers that answer every role with a refusal, and what each role is told then."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager

import redis

from infra.launcher import probes, redis_server
from tests.support.waiting import eventually

#: What makes a server refuse -> a word of what a role says then.
REFUSALS = {
    "password": "REDIS_URL",
    "user": "REDIS_URL",
    "rights": "infra.redis_users",
    "cluster": "cluster-enabled no",
}
_PORT_END = 1 << 16
_OPTIONS = {"password": ("--requirepass", "right"), "cluster": ("--cluster-enabled", "yes")}


@contextmanager
def refusing(kind, folder):
    """Start a server that refuses for the reason *kind*; yield its URL."""
    port = eventually(_port, every_s=0)
    command = redis_server.command(port, folder, durable=False)
    process = subprocess.Popen([*command, *_OPTIONS.get(kind, ())], stdout=subprocess.DEVNULL)
    try:
        # A cluster's node listens before it knows that its second port is free, too.
        eventually(lambda: probes.redis_says(f"redis://127.0.0.1:{port}/0", "PING"))
        yield _prepared(kind, port)
    finally:
        process.kill()
        process.wait()


def _port():
    """Return a port that leaves room for a cluster's second one, 10,000 above it."""
    port = redis_server.free_port()
    return port if port < _PORT_END - 10_000 else None


def _prepared(kind, port):
    if kind == "rights":
        with redis.Redis(port=port) as client:
            client.execute_command("ACL", "SETUSER", "weak", "on", ">pass", "~other:*", "+@all")
    login = {"password": "", "user": "nobody:pass@", "rights": "weak:pass@", "cluster": ""}[kind]
    return f"redis://{login}127.0.0.1:{port}/0"


def with_password(client, password):
    """Let the server of *client* ask for *password*, and end everybody else's connection."""
    client.config_set("requirepass", password)
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
