"""Posting to K_SINK, against a real server on loopback."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest

from infra.launcher import redis_server
from linewatch import events, payloads
from linewatch.calls import Channel, ChannelKey, Score
from linewatch.errors import SinkUnavailable
from linewatch.sending.sink import Sink
from tests.bench.sentiment_service import null_sink
from tests.support.kafka_broker import make_certificates

TAKEN = b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\ntaken"


@pytest.fixture(name="server")
def _server():
    """A sink that keeps what it is sent."""
    with null_sink() as server:
        yield server


@pytest.fixture(name="scored")
def _scored():
    """A scored event."""
    key = ChannelKey("default", "call-1", Channel.CUSTOMER)
    text = "my bill is wrong"
    score = Score(key, 1_767_225_600_000, 0, 0, 100, 900, text, -0.5, 0.5, ("bill",), "c", "s")
    return events.utterance_scored(score)


def test_event_arrives_whole(server, scored):
    """The sink gets the event in binary content mode and can read it back."""
    Sink(server.url, 5).send(scored)
    (taken,) = server.taken
    assert payloads.read(events.from_http(taken.headers, taken.body)) == payloads.read(scored)
    assert json.loads(taken.body)["text"] == "my bill is wrong"


def test_connection_is_kept(server, scored):
    """Events one after the other share a connection."""
    sink = Sink(server.url, 5)
    for _ in range(5):
        sink.send(scored)
    assert (len(server.taken), server.connections) == (5, 1)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_only_2xx_is_success(server, scored, status):
    """Any other answer is an error, so that the source sends the event again."""
    server.status = status
    with pytest.raises(SinkUnavailable, match=str(status)):
        Sink(server.url, 5).send(scored)
    assert len(server.taken) == 1


def test_refused_connection_is_unavailable(scored):
    """A sink that does not listen is unavailable."""
    url = f"http://127.0.0.1:{redis_server.free_port()}/scores"
    with pytest.raises(SinkUnavailable, match="send it again"):
        Sink(url, 5).send(scored)


def test_silent_sink_times_out(scored):
    """A sink that never answers is given up after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/scores"
        with pytest.raises(SinkUnavailable, match="timed out after"):
            Sink(url, 0.1).send(scored)


@contextmanager
def answering(listener, times):
    """Answer one request on each of *times* connections and close it; gives what was read."""
    read = []

    def answer():
        for _ in range(times):
            with suppress(OSError), listener.accept()[0] as connection:
                read.append(connection.recv(65536))
                connection.sendall(TAKEN)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield read
    thread.join(60)


@pytest.fixture(name="listener")
def _listener():
    """A socket that takes connections on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


def test_closed_connection_is_replaced(capfd, listener, scored):
    """Where a kept connection was closed meanwhile, a new one carries the event, and in silence."""
    sink = Sink(f"http://127.0.0.1:{listener.getsockname()[1]}/scores", 5)
    with answering(listener, 3) as read:
        for _ in range(3):
            sink.send(scored)
    assert len(read) == 3
    assert len(set(read)) == 1
    assert capfd.readouterr() == ("", "")


def test_request_is_plain(listener, scored):
    """The request waits for no word of the sink, and no attribute ends its line early."""
    scored.get_attributes()["modeldigest"] = "a\r\nx-evil: b"
    with answering(listener, 1) as read:
        Sink(f"http://127.0.0.1:{listener.getsockname()[1]}/a?b=c", 5).send(scored)
    first, *fields = read[0].partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    names = {field.partition(b":")[0] for field in fields}
    assert first == b"post /a?b=c http/1.1"
    assert {b"host", b"content-type", b"content-length", b"ce-id", b"ce-modeldigest"} < names
    assert not names & {b"accept", b"expect", b"x-evil"}


def test_no_proxy_is_asked(monkeypatch, server, scored):
    """A proxy of the environment is for other addresses than the cluster's own."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{redis_server.free_port()}")
    Sink(server.url, 5).send(scored)
    assert len(server.taken) == 1


@pytest.fixture(scope="module", name="certificates")
def _certificates(tmp_path_factory):
    """A folder of certificates: ``broker`` is signed by ``ca``, and not by ``other``."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(name="secured")
def _secured(listener, certificates):
    """The listener, over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "broker.pem", certificates / "broker.key")
    with context.wrap_socket(listener, server_side=True) as secured:
        yield secured


def sent_by_tls(monkeypatch, authority, secured, scored):
    """Send over TLS where the machine trusts *authority* alone; return what the sink read."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.parent / "none"))
    with answering(secured, 1) as read:
        Sink(f"https://127.0.0.1:{secured.getsockname()[1]}/", 5).send(scored)
    return read


def test_trusted_sink_gets_the_event(monkeypatch, certificates, secured, scored):
    """Over TLS a sink is trusted whose certificate was signed by whom the machine trusts."""
    (read,) = sent_by_tls(monkeypatch, certificates / "ca.pem", secured, scored)
    assert b"my bill is wrong" in read


def test_stranger_gets_no_event(monkeypatch, certificates, secured, scored):
    """Over TLS a sink gets nothing whose certificate was signed by somebody else."""
    with pytest.raises(SinkUnavailable, match="certificate"):
        sent_by_tls(monkeypatch, certificates / "other.pem", secured, scored)


def test_sink_that_returns_is_used(server, scored):
    """After a failure the next event goes through."""
    sink = Sink(server.url, 5)
    server.status = 503
    with pytest.raises(SinkUnavailable):
        sink.send(scored)
    server.status = 202
    sink.send(scored)
    assert len(server.taken) == 2
