"""Requests that leave in one piece, read from a bare socket."""

from __future__ import annotations

import socket
import threading

import pytest
import urllib3

from linewatch.sending import connections

TIMEOUT = urllib3.Timeout(total=5)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(name="listener")
def _listener():
    """A socket that takes connections on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.fixture(name="pool")
def _pool(listener):
    """Kept connections to the listener."""
    with connections.connection_pool(
        f"http://127.0.0.1:{listener.getsockname()[1]}", TIMEOUT, 1
    ) as pool:
        yield pool


@pytest.fixture(name="sent")
def _sent(monkeypatch):
    """What the pool hands to a socket, piece by piece; the listener answers by ``send``."""
    pieces, sendall = [], socket.socket.sendall

    def noted(self, data):
        pieces.append(bytes(data))
        sendall(self, data)

    monkeypatch.setattr(socket.socket, "sendall", noted)
    return pieces


def answered(listener, count):
    """Answer *count* requests on one connection; return what the first read of each brought."""
    read = []

    def answer():
        connection, _ = listener.accept()
        with connection:
            for _ in range(count):
                read.append(connection.recv(65536))
                connection.send(ANSWER)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread, read


def test_head_and_body_leave_together(listener, pool, sent):
    """One piece, and one read, is the whole request, on a new connection and on a kept one."""
    thread, read = answered(listener, 2)
    for body in (b"first", b"second"):
        assert pool.urlopen("POST", "/in", body=body, headers={"a": "b"}).data == b"ok"
    thread.join(60)
    assert sent == read
    heads = [each.partition(b"\r\n\r\n")[::2] for each in read]
    assert [body for _, body in heads] == [b"first", b"second"]
    assert all(head.startswith(b"POST /in HTTP/1.1\r\n") and b"a: b" in head for head, _ in heads)


def test_request_without_body_leaves(listener, pool):
    """A request that has only a head is sent, and says so."""
    thread, read = answered(listener, 1)
    assert pool.urlopen("GET", "/out").status == 200
    thread.join(60)
    assert read[0].startswith(b"GET /out HTTP/1.1\r\n")


def test_refused_head_sends_nothing(listener, pool):
    """A header that cannot be sent raises before a byte has left, and the next request goes."""
    with pytest.raises(ValueError, match="Invalid header value"):
        pool.urlopen("POST", "/in", body=b"x", headers={"a": "b\r\nc: d"}, retries=False)
    thread, read = answered(listener, 1)
    assert pool.urlopen("POST", "/in", body=b"y").status == 200
    thread.join(60)
    assert read[0].endswith(b"\r\n\r\ny")


def test_https_keeps_its_own_connections():
    """TLS stays urllib3's, with its checks of certificates."""
    with connections.connection_pool("https://127.0.0.1:1", TIMEOUT, 1) as pool:
        assert issubclass(pool.ConnectionCls, urllib3.connection.HTTPSConnection)
