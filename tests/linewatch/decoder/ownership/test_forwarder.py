"""The forward of one hop, over real sockets."""

import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.launcher.redis_server import free_port
from linewatch.decoder.ownership import forwarder as forwarder_module
from linewatch.decoder.ownership.cookies import FORWARD_HEADER, Passes
from linewatch.decoder.ownership.forwarder import Forwarder, OwnerGone, OwnerSilent
from linewatch.decoder.store.answers import Owner
from linewatch.errors import AnotherPod, OwnerBusy

PASSES = Passes(("new", "old"))


class Handler(BaseHTTPRequestHandler):
    """Keeps what it was asked and answers as the server says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answer as told."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, body))
        self.server.before()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "4")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def pod_server(status=200, headers=None, before=lambda: None):
    """Run a pod that answers everything the same way; yields it and its owner."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status, server.before, server.asked = status, before, []
        server.headers = headers or {"Set-Cookie": "linewatch=x"}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, Owner("pod-b", 1, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def send(owner, forwarder=None, headers=None):
    """Forward one small request."""
    forwarder = forwarder or Forwarder(PASSES, 8)
    try:
        return forwarder.send(owner, "POST", "/x?after=3", headers or {}, b"body")
    finally:
        close(forwarder)


def close(forwarder):
    """Close the connections a forwarder keeps."""
    for pool in forwarder._pools.values():
        pool.close()


class TestForwarder:
    """One hop over real sockets."""

    @pytest.mark.parametrize("status", [200, 302, 409, 421, 500, 503])
    def test_any_answer_is_the_answer(self, status):
        """Whatever the owner answers is handed back: status, cookie, body; not its Server."""
        with pod_server(status) as (server, owner):
            answer = send(owner)
            assert (answer.status, answer.body) == (status, b"done")
            assert answer.headers == {"set-cookie": "linewatch=x"}
            assert [(path, body) for path, _, body in server.asked] == [("/x?after=3", b"body")]

    def test_only_some_headers_pass(self):
        """Event attributes, token, cookie and type pass on, and the pass names the owner."""
        sent = {
            "ce-sequence": "4",
            "authorization": "Bearer t",
            "cookie": "a=b",
            "content-type": "audio/PCMU",
            "x-forwarded-proto": "https",
            "traceparent": "00-x",
            "host": "evil",
            "content-length": "99",
            "connection": "close",
            "x-internal": "1",
            FORWARD_HEADER: "forged",
        }
        with pod_server() as (server, owner):
            send(owner, headers=sent)
        ((_, heard, _),) = server.asked
        dropped = {"host", "content-length", "connection", "x-internal", FORWARD_HEADER}
        assert {name: heard[name] for name in sent.keys() - dropped} == {
            name: value for name, value in sent.items() if name not in dropped
        }
        assert heard["content-length"] == "4"
        assert "x-internal" not in heard
        assert PASSES.read(heard[FORWARD_HEADER]) == "pod-b"

    def test_refused_connect_is_gone(self):
        """Where nobody listens the owner is gone."""
        with pytest.raises(OwnerGone):
            send(Owner("pod-b", 1, f"http://127.0.0.1:{free_port()}"))

    def test_only_who_was_reached_is_certainly_gone(self):
        """A refusal by an owner never reached may be a firewall's that does not know us yet."""
        forwarder = Forwarder(PASSES, 8)
        with pod_server() as (_, owner):
            send(owner, forwarder)
        for certain, gone in (True, owner), (False, replace(owner, pod="pod-c")):
            forwarder.drop_idle()
            with pytest.raises(OwnerGone) as refused:
                send(gone, forwarder)
            assert refused.value.is_certain is certain

    def test_swallowed_connect_is_gone(self):
        """Where a connection is swallowed the owner is gone before the kernel gives up."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            began_s = time.monotonic()
            with pytest.raises(OwnerGone):
                send(Owner("pod-b", 1, f"http://127.0.0.1:{port}"))
            # Linux tries for two minutes.
            assert time.monotonic() - began_s < 60
            for filler in fillers:
                filler.close()

    def test_slow_owner_is_silent(self, monkeypatch):
        """An owner that does not answer in time is silent: never a reason to adopt."""
        monkeypatch.setattr(forwarder_module, "READ_S", 0.1)
        leave = threading.Event()
        with pod_server(before=lambda: leave.wait(60)) as (_, owner):
            with pytest.raises(OwnerSilent) as caught:
                send(owner)
            leave.set()
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)

    def test_who_waited_does_not_wait_again(self, monkeypatch):
        """Who waited for a slot while the owner fell silent is told so unasked; later ones ask."""
        monkeypatch.setattr(forwarder_module, "READ_S", 1.0)
        monkeypatch.setattr(forwarder_module, "_WAIT_FOR_SLOT_S", 60)
        leave, forwarder = threading.Event(), Forwarder(PASSES, 2)
        held = pod_server(before=lambda: leave.wait(60))
        with held as (server, owner), ThreadPoolExecutor(2) as callers:
            asked = [callers.submit(forwarder.send, owner, "POST", "/", {}, b"") for _ in range(2)]
            assert [type(each.exception()) for each in asked] == [OwnerSilent] * 2
            assert len(server.asked) == 1
            leave.set()
            assert forwarder.send(owner, "POST", "/", {}, b"").status == 200

    def test_broken_answer_is_busy(self):
        """An owner that dies while it answers is busy, not gone: it may have committed."""
        with socket.socket() as rude:
            rude.bind(("127.0.0.1", 0))
            rude.listen()

            def hang_up():
                caller, _ = rude.accept()
                caller.recv(10)
                caller.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(OwnerBusy):
                send(Owner("pod-b", 1, f"http://127.0.0.1:{rude.getsockname()[1]}"))
            thread.join()

    def test_dying_owner_is_gone(self):
        """An owner that hangs up and then refuses connections is gone, within the request."""
        rude = socket.socket()
        rude.bind(("127.0.0.1", 0))
        rude.listen()

        def die():
            caller, _ = rude.accept()
            caller.recv(10)
            rude.close()
            caller.close()

        thread = threading.Thread(target=die)
        thread.start()
        with pytest.raises(OwnerGone):
            send(Owner("pod-b", 1, f"http://127.0.0.1:{rude.getsockname()[1]}"))
        thread.join()

    def test_address_is_used_again(self):
        """Where another pod answers at the owner's address the owner is gone."""
        with (
            pod_server(421, {"kne-reason": AnotherPod("").slug()}) as (_, owner),
            pytest.raises(OwnerGone),
        ):
            send(owner)

    def test_idle_connections_are_dropped(self):
        """Connections that nobody uses are closed when told; one in use serves its request."""
        leave, inside = threading.Event(), threading.Event()
        forwarder = Forwarder(PASSES, 8)
        with pod_server() as (server, owner), ThreadPoolExecutor(1) as callers:
            forwarder.send(owner, "POST", "/", {}, b"")
            (idle,) = forwarder._pools.values()
            server.before = lambda: (inside.set(), leave.wait(60))
            asked = callers.submit(forwarder.send, owner, "POST", "/", {}, b"")
            assert inside.wait(60)
            forwarder.drop_idle()
            leave.set()
            assert asked.result().status == 200
            closed = idle.pool
            del idle
            gc.collect()
            assert closed.empty()
            server.before = lambda: None
            assert forwarder.send(owner, "POST", "/", {}, b"").status == 200
            close(forwarder)

    def test_half_of_threads_forward(self):
        """Only half of the threads may forward at a time; the rest stay free to serve."""
        inside, leave = threading.Semaphore(0), threading.Event()

        def hold():
            inside.release()
            leave.wait(60)

        forwarder = Forwarder(PASSES, 4)
        with pod_server(before=hold) as (_, owner):
            threads = [
                threading.Thread(target=forwarder.send, args=(owner, "POST", "/", {}, b""))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            assert inside.acquire(timeout=60)
            assert inside.acquire(timeout=60)
            with pytest.raises(OwnerBusy, match="too many"):
                forwarder.send(owner, "POST", "/", {}, b"")
            leave.set()
            for thread in threads:
                thread.join()
            assert forwarder.send(owner, "POST", "/", {}, b"").status == 200
            close(forwarder)
