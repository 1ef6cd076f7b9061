"""Scripts on a kept connection: it is made anew when it must be, and never lies."""

import signal
import threading
from contextlib import suppress

import pytest
from redis.exceptions import RedisError, ResponseError

from infra.launcher import redis_server
from linewatch.decoder.store.scripts import Scripts
from linewatch.eventlog.redis_writer import connect
from tests.support.waiting import eventually

KEYS = ["s:own"]
ARGUMENTS = [1, "attempts", 0]


@pytest.fixture(name="scripts")
def _scripts(redis_url):
    with connect(redis_url) as client:
        scripts = Scripts(client)
        yield scripts
        scripts.drop_idle()


@pytest.fixture(name="client")
def _client(redis_url):
    with connect(redis_url) as client:
        yield client


def connections(client):
    """Return the ids of the server's connections that ran a script last."""
    return {each["id"] for each in client.client_list() if each["cmd"] in {"evalsha", "eval"}}


def test_connection_is_kept(scripts, client):
    """Scripts run one after the other take one connection, whatever their threads."""
    scripts.run("own", KEYS, ARGUMENTS)
    before = connections(client)
    for _ in range(3):
        thread = threading.Thread(target=scripts.run, args=("own", KEYS, ARGUMENTS))
        thread.start()
        thread.join()
    scripts.run("own", KEYS, ARGUMENTS)
    assert connections(client) == before
    assert len(scripts._idle) == 1


def test_as_many_as_run_at_once(scripts):
    """A script that runs beside another has a connection of its own."""
    with scripts._connection() as one, scripts._connection() as other:
        assert one is not other
        scripts.run("own", KEYS, ARGUMENTS)
    assert len(scripts._idle) == 3


def test_one_waits_for_a_hung_redis(tmp_path):
    """While one script waits for a Redis that stands still, the next is refused without a wait."""
    port = redis_server.free_port()
    process = redis_server.start(port, tmp_path, durable=False)
    scripts = Scripts(connect(f"redis://127.0.0.1:{port}/0", 1.0))
    try:
        scripts.run("own", KEYS, ARGUMENTS)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(RedisError, match="Timeout"):
            scripts.run("own", KEYS, ARGUMENTS)
        waiter = threading.Thread(target=suppressed, args=(scripts,))
        waiter.start()
        eventually(lambda: not scripts._idle)
        with pytest.raises(RedisError, match="stands still"):
            scripts.run("own", KEYS, ARGUMENTS)
        waiter.join()
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def suppressed(scripts):
    """Run a script, whatever becomes of it."""
    with suppress(RedisError):
        scripts.run("own", KEYS, ARGUMENTS)


def test_idle_ones_are_dropped(scripts):
    """What nobody uses is closed when told; what is in use stays, and goes on being used."""
    scripts.run("own", KEYS, ARGUMENTS)
    with scripts._connection(), scripts._connection() as idle:
        pass
    with scripts._connection() as used:
        scripts.drop_idle()
        assert not idle.is_connected
        assert used.is_connected
    assert scripts._idle == [used]
    scripts.run("own", KEYS, ARGUMENTS)


def test_dropping_goes_on_for_ever(scripts):
    """However often idle connections were dropped, the next script finds a new one."""
    for _ in range(150):
        scripts.run("own", KEYS, ARGUMENTS)
        scripts.drop_idle()
    assert scripts.run("own", KEYS, ARGUMENTS) is not None


def test_forgotten_script_is_taught(scripts, client):
    """A Redis that forgot its scripts is taught them again, unnoticed."""
    scripts.run("own", KEYS, ARGUMENTS)
    client.script_flush()
    scripts.run("own", KEYS, ARGUMENTS)


def test_closed_connection_is_replaced(scripts, client):
    """A connection that the server closed is replaced before anything is sent on it."""
    scripts.run("own", KEYS, ARGUMENTS)
    for each in connections(client):
        client.client_kill_filter(_id=each)
    scripts.run("own", KEYS, ARGUMENTS)


def test_refusal_keeps_connection(scripts):
    """What Redis refuses is raised, and the next answer is the next question's."""
    with pytest.raises(ResponseError):
        scripts.run("own", [], [])
    assert scripts.run("own", KEYS, ARGUMENTS) is not None


def test_restarted_redis_is_met(tmp_path):
    """While Redis is away every script fails; once it is back the same thread goes on."""
    port = redis_server.free_port()
    server = redis_server.start(port, tmp_path, durable=False)
    with connect(f"redis://127.0.0.1:{port}/0") as client:
        scripts = Scripts(client)
        try:
            scripts.run("own", KEYS, ARGUMENTS)
            server.terminate()
            server.wait()
            for _ in range(2):
                with pytest.raises(RedisError):
                    scripts.run("own", KEYS, ARGUMENTS)
            server = redis_server.start(port, tmp_path, durable=False)
            scripts.run("own", KEYS, ARGUMENTS)
        finally:
            scripts.drop_idle()
            server.terminate()
            server.wait()
