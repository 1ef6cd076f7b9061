"""A real gunicorn decoder under bodies and connections that no phone system makes."""

from __future__ import annotations

import gzip
import json
import logging
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3
from gunicorn.config import Config

from linewatch import events
from linewatch.calls import Channel
from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.serving.worker import Worker, _Bounded
from tests.support import fakes
from tests.support.decoders import Fleet, line_to, own_redis

PATH = "/v1/calls/c1/channels/agent/audio"
CONNECTIONS = 64
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/PCMU\r\nce-specversion: 1.0\r\n"
    f"ce-type: {events.AUDIO_CHUNK}\r\nce-source: /p\r\nce-id: 1\r\nce-sequence: 0\r\n"
    "ce-position: 0\r\nce-stream: s1\r\n"
).encode()
GREATEST_GROWTH = 96 * 1024 * 1024


@pytest.fixture(scope="module", name="decoder")
def _decoder(tmp_path_factory):
    """One decoder of four threads: what holds a thread shows at once."""
    folder = tmp_path_factory.mktemp("redis")
    with own_redis(folder) as url, Fleet(url, THREADS="4") as fleet:
        (decoder,) = fleet.start()
        yield decoder


@contextmanager
def connections(decoder, begun, count=CONNECTIONS):
    """Open connections that each send the bytes *begun* and then stand still."""
    with ExitStack() as held:
        opened = [held.enter_context(_connect(decoder)) for _ in range(count)]
        for each in opened:
            each.sendall(begun)
        yield opened


def _connect(decoder):
    port = urllib3.util.parse_url(decoder.url).port
    opened = socket.create_connection(("127.0.0.1", port), 10)
    opened.settimeout(60)
    return opened


def answer_of(opened):
    """Return status and problem of the answer, read to the connection's end."""
    raw = b""
    while piece := _received(opened):
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def _received(opened):
    try:
        return opened.recv(65536)
    except ConnectionResetError:
        return b""


def resident_bytes(decoder):
    """Return what the worker holds in memory."""
    status = Path(f"/proc/{decoder.worker}/status").read_text()
    (row,) = (row for row in status.splitlines() if row.startswith("VmRSS:"))
    return int(row.split()[1]) * 1024


@pytest.fixture(name="bounded")
def _bounded(decoder):
    """The decoder, whose memory must not have grown by much afterwards."""
    before = resident_bytes(decoder)
    yield decoder
    assert resident_bytes(decoder) - before < GREATEST_GROWTH


def good_call(decoder, name, timeout_s=60):
    """Send two seconds of a call by the real line; tell whether it was taken to its end."""
    line = line_to([decoder.url], name, (Channel.AGENT,))
    line.open()
    for piece in fakes.chunks(fakes.speech(2.0)):
        line.push(Channel.AGENT, piece.audio)
    return line.close(timeout_s)


def test_no_header_moves_the_application(decoder):
    """SCRIPT_NAME of a sender is dropped, though it comes from this machine as a proxy's would."""
    asked = urllib3.request(
        "GET", f"{decoder.url}/x/health/liveness", headers={"SCRIPT_NAME": "/x"}
    )
    assert asked.status == 404


@pytest.mark.parametrize(("config", "limit"), [
    ({"MAX_CONTENT_LENGTH": 8 << 20}, 8 << 20), ({"MAX_CONTENT_LENGTH": None}, 1 << 20),
])  # fmt: skip
def test_application_says_what_it_takes(config, limit):
    """A body may be as long as the application says, whichever it is; else a megabyte."""
    made = Worker.__new__(Worker)
    made.wsgi = SimpleNamespace(config=config)
    assert made.body_limit == limit


def test_uncaught_error_is_a_problem(caplog):
    """An error that no application caught is told as ours, and nothing of it is shown."""
    made = Worker.__new__(Worker)
    made.log, made.cfg = logging.getLogger("gunicorn"), Config()
    sender, receiver = socket.socketpair()
    with _Bounded(fileno=sender.detach()) as kept:
        kept.sendall(b"HTTP/1.1 200 OK\r\n")
        made.handle_error(None, kept, ("127.0.0.1", 1), ValueError("secret"))
        kept.flush()
    with receiver:
        status, told = answer_of(receiver)
    assert (status, told["status"]) == (500, 500)
    assert "secret" not in str(told)
    assert "Error handling request" in caplog.text


SLOW = {
    "idle": b"",
    "head": HEAD,
    "line": b"POST /v1/ca",
    "body": HEAD + b"Content-Length: 2000\r\n\r\n" + b"\xff" * 9,
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "huge": HEAD + b"Content-Length: 1073741824\r\n\r\n" + b"\xff" * 9,
    "answered": b"GET / HTTP/1.0\r\n\r\n",
    "kept": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_senders_hold_nobody_up(bounded, kind):
    """Connections that stop anywhere in a request, or after it, cost a good line nothing."""
    with connections(bounded, SLOW[kind]):
        assert good_call(bounded, f"beside-{kind}")


def asked(decoder, *pieces):
    """Send *pieces* on one connection; return status and problem of the answer."""
    with _connect(decoder) as opened:
        for piece in pieces:
            try:
                opened.sendall(piece)
            except (ConnectionResetError, BrokenPipeError):
                break
        return answer_of(opened)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MIB_CHUNK = b"10000\r\n" + b"\xff" * 0x10000 + b"\r\n"


@pytest.mark.parametrize(("pieces", "status"), [
    ((HEAD + b"Content-Length: 1073741824\r\n\r\n", b"\xff" * 65536), 413),
    ((CHUNKED, *[MIB_CHUNK] * 64), 413),
    ((CHUNKED, *[b"1\r\n\xff\r\n" * 8192] * 64), 413),
    ((HEAD, *[b"x-more: y\r\n" * 1000] * 900), 431),
    ((HEAD + b"x-long: ", *[b"y" * 65536] * 160), 431),
    ((HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",), 400),
    ((HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",), 400),
    ((HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",), 400),
    ((HEAD + b"Content-Length: -1\r\n\r\n",), 400),
    ((CHUNKED + b"nonsense\r\n",), 400),
])  # fmt: skip
def test_monstrous_requests_are_refused(bounded, pieces, status):
    """A body or header without end is answered with a problem after little of it was read."""
    found, told = asked(bounded, *pieces)
    assert (found, told["status"]) == (status, status)
    assert told["detail"]


def test_many_headers_are_refused(bounded):
    """More header bytes than are read are an error of the sender's, and nothing else."""
    many = b"".join(b"x-%d: %0100d\r\n" % (n, n) for n in range(400))
    with _connect(bounded) as opened:
        opened.sendall(HEAD + many + b"\r\n")
        status, told = answer_of(opened)
    assert (status, told["status"]) == (431, 431)


@pytest.mark.parametrize(("request_line", "header", "status"), [
    (b"GET /", b"Host: x", 400), (b"GET / HTTP/9.9", b"Host: x", 400),
    (b"GET / HTTP/1.1", b"no colon", 400),
    (b"GET / HTTP/1.1", b"na me: x", 400), (b"GET / HTTP/1.1", b"x: \0", 400),
    (b"GET /\xff HTTP/1.1", b"Host: x", 400),
])  # fmt: skip
def test_unreadable_request_is_a_problem(bounded, request_line, header, status):
    """What is no HTTP request is answered by a problem that says so, as everything else is."""
    found, told = asked(bounded, request_line + b"\r\n" + header + b"\r\n\r\n")
    assert (found, told["status"]) == (status, status)
    assert "cannot be read" in told["detail"]


def test_long_token_is_read(bounded):
    """A bearer token of 8 kB, as some identity providers make them, reaches the application."""
    token = {"Authorization": "Bearer " + "a" * 8192}
    assert urllib3.request("GET", f"{bounded.url}/health/liveness", headers=token).status == 200


def test_dribbled_request_is_let_go(bounded):
    """A request that is not whole in ten seconds is 408, though bytes of it still come."""
    with _connect(bounded) as opened:
        opened.sendall(SLOW["body"])
        status, told = answer_of(opened)
    assert (status, told["title"]) == (408, "Request timeout")


def test_bombs_are_not_unpacked(bounded):
    """A compressed body is refused as it is: a thousand megabytes stay a megabyte."""
    bomb = gzip.compress(b"\0" * (200 * 1024 * 1024), 9)[:BODY_LIMIT]
    for headers in (b"Content-Encoding: gzip\r\n", b"Content-Encoding: br, gzip\r\n"):
        head = HEAD + headers + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(bomb)
        assert asked(bounded, head, bomb)[0] == 415


def test_answer_comes_at_once(bounded):
    """Head and body of an answer are sent together: nobody wakes up for half of it."""
    with _connect(bounded) as opened:
        for _ in range(3):
            opened.sendall(SLOW["kept"])
            head, _, body = opened.recv(65536).partition(b"\r\n\r\n")
            assert b"content-length: %d" % len(body) in head.lower()
            assert json.loads(body)


def audio(seq, samples=2000, extra=b"", body=None):
    """Return a good chunk as bytes."""
    number = b"ce-sequence: %d\r\nce-position: %d\r\n" % (seq, seq * samples)
    head = HEAD.replace(b"ce-sequence: 0\r\nce-position: 0\r\n", number).replace(b"/c1/", b"/c2/")
    length = b"Content-Length: %d\r\n" % samples if body is None else b""
    return head + length + extra + b"\r\n" + (b"\xff" * samples if body is None else body)


def test_requests_come_in_any_pieces(bounded):
    """Pipelined, cut, chunked and announced requests are served in their order."""
    body = b"3e8\r\n" + b"\xff" * 1000 + b"\r\n3E8;x=y\r\n" + b"\xff" * 1000 + b"\r\n0\r\n\r\n"
    whole = audio(0) + audio(1)
    whole += audio(2, extra=b"Transfer-Encoding: chunked\r\n", body=body)
    whole += audio(3, extra=b"Expect: 100-continue\r\nConnection: close\r\n")
    with _connect(bounded) as opened:
        for begin in range(0, len(whole), 777):
            opened.sendall(whole[begin : begin + 777])
        raw = b""
        while piece := _received(opened):
            raw += piece
    told = [each.partition(b"}")[0] for each in raw.split(b"{")[1:]]
    assert [json.loads(b"{" + each + b"}")["next_seq"] for each in told] == [1, 2, 3, 4]
