"""Each role does its work as its own Redis user, over TLS, and nothing else."""

from __future__ import annotations

import socket
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest
import redis

from infra import redis_users
from infra.launcher import redis_server
from linewatch.board.store import Board
from linewatch.calls import CallStart, Channel
from linewatch.errors import StoreUnavailable
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from linewatch.events import call_started, to_record
from tests.linewatch.decoder.pods import tried
from tests.support import fakes
from tests.support.decoders import Fleet, line_to
from tests.support.kafka_broker import make_certificates
from tests.support.waiting import eventually

PASSWORDS = {role: f"{role}-password" for role in redis_users.USERS}
START = CallStart("default", "c1", "line-1", 1_767_225_600_000)
#: A key of each kind that any role touches.
KINDS = sorted({kind for user in redis_users.USERS.values() for kind in user.keys})


@contextmanager
def secured(folder):
    """Run a Redis of our users; give its port."""
    (folder / "acl").write_text(redis_users.file(PASSWORDS))
    port = redis_server.free_port()
    command = [*redis_server.command(port, folder, durable=False), "--aclfile", str(folder / "acl")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: redis_server.is_listening(port))
        yield port
    finally:
        server.terminate()
        server.wait()


def url(role, port, scheme="redis"):
    """Return where *role* finds its Redis."""
    return f"{scheme}://{role}:{PASSWORDS[role]}@127.0.0.1:{port}/0"


class _Front(socketserver.ThreadingTCPServer):
    """TLS in front of a Redis that was built without."""

    daemon_threads = True
    context: ssl.SSLContext
    behind: int

    def finish_request(self, request, client_address):
        """Pass on both ways what a client says over TLS."""
        with (
            suppress(OSError),
            self.context.wrap_socket(request, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", self.behind), 5) as inner,
        ):
            outer.settimeout(60)
            while asked := outer.recv(65536):
                inner.sendall(asked)
                outer.sendall(inner.recv(65536))


@contextmanager
def fronted(folder, port):
    """Serve TLS in front of *port* by a certificate of the authority in *folder*."""
    make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "broker.pem", folder / "broker.key")
    with _Front(("127.0.0.1", 0), None) as front:
        front.context, front.behind = context, port
        thread = threading.Thread(target=front.serve_forever, args=(0.01,))
        thread.start()
        yield front.server_address[1]
        front.shutdown()
        thread.join()


@pytest.fixture(scope="module", name="url_of")
def _url_of(tmp_path_factory):
    with secured(tmp_path_factory.mktemp("acl")) as port:
        yield partial(url, port=port)


def test_roles_do_their_work(url_of):
    """A real decoder, the log's readers, the board and the dashboard work as their users."""
    with Fleet(url_of("decoder")) as fleet:
        (decoder,) = fleet.start()
        line = line_to([decoder.url], "c1", (Channel.AGENT,))
        line.open()
        for each in fakes.chunks(fakes.speech(2.0)):
            line.push(Channel.AGENT, each.audio)
        assert line.close(60)
        log = RedisLog.at(url_of("dispatcher"))
        group = Group("calls", "g", "any")
        log.ensure(group)
        eventually(lambda: log.count("calls") >= 2)
        assert log.lags("calls", ["g"])
        log.publish([to_record(call_started(START))])
        log.report("dispatcher", {"lag.x": 1})
        log.close()
        board = Board.from_url(url_of("board"))
        board.put(START)
        board.close()
        shown = Board.from_url(url_of("dashboard"))
        snapshot = shown.snapshot("default")
        assert [row.call for row in snapshot.rows] == ["c1"]
        assert snapshot.health.decoders
        shown.close()


@pytest.mark.parametrize("role", redis_users.USERS)
def test_roles_are_kept_apart(url_of, role):
    """No role reads or writes what only others need, lists keys or changes the server."""
    others = set(KINDS) - set(redis_users.USERS[role].keys)
    with redis.Redis.from_url(url_of(role)) as client:
        client.ping()
        for name in (kind.replace("*", "x") for kind in others):
            for words in (("HSET", name, "a", "b"), ("TYPE", name)):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*words)
        for words in (("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)


def test_dashboard_writes_nothing(url_of):
    """The dashboard's user cannot put a fact on the board."""
    board = Board.from_url(url_of("dashboard"))
    with pytest.raises(StoreUnavailable):
        board.put(replace(START, call="c-new"))
    board.close()
    with redis.Redis.from_url(url_of("dashboard")) as client:
        for words in (("HSET", "board:x", "a", "b"), ("EVAL", "return 1", "0"), ("DEL", "pods")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)


@pytest.mark.parametrize("user", ["decoder:wrong", "nobody:x", "default:"])
def test_strangers_are_refused(url_of, user):
    """A wrong password, an unknown user and the default user are let in nowhere."""
    own = f"decoder:{PASSWORDS['decoder']}"
    stranger = connect(url_of("decoder").replace(own, user))
    with pytest.raises(redis.exceptions.RedisError):
        stranger.get("sessions")
    stranger.close()


def test_tls_is_held_to(tmp_path):
    """Over TLS a role that knows the authority works; one that does not, or speaks plain, fails."""
    with secured(tmp_path) as port, fronted(tmp_path, port) as front:
        good = Board.from_url(f"{url('board', front, 'rediss')}?ssl_ca_certs={tmp_path / 'ca.pem'}")
        eventually(lambda: _answers(good))
        good.close()
        other = f"{url('board', front, 'rediss')}?ssl_ca_certs={tmp_path / 'other.pem'}"
        for bad in (other, url("board", front, "rediss"), url("board", front)):
            board = Board.from_url(bad)
            with pytest.raises(StoreUnavailable):
                board.ping()
            board.close()


def _answers(board):
    return tried(board.ping)[1] is None


def test_no_password_no_file(capsys):
    """Without a password nothing is written; with one it does not stand in the file."""
    assert redis_users.main({}) == 2
    assert "DECODER_PASSWORD" in capsys.readouterr().err
    assert redis_users.main({"BOARD_PASSWORD": "so-secret"}) == 0
    written = capsys.readouterr().out
    assert written.startswith("user default off\nuser board on #")
    assert "so-secret" not in written
