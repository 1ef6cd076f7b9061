"""Loopback: a small HTTP server for as long as a test or a bench needs it, and free ports."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer


@contextmanager
def serving(handler):
    """Serve by *handler*, a request handler's class; gives the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_ports(count):
    """Return *count* different ports that nothing listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
