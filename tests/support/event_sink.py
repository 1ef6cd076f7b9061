"""A small HTTP server that takes CloudEvents, and refuses where a test says so."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from linewatch import events


class EventSink:
    """Keeps the events it took in *taken*; *statuses* are answered first, one a request."""

    def __init__(self):
        self.taken = []
        self.statuses = []
        handler = type("Handler", (_Handler,), {"sink": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self):
        """Where events are posted to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, headers, body):
        """Take one event, or refuse it with the next status."""
        if self.statuses:
            return self.statuses.pop(0)
        self.taken.append(events.from_http(headers, body))
        return 202


class _Handler(BaseHTTPRequestHandler):
    sink: EventSink

    def do_POST(self):
        """Answer one event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.sink.answer(dict(self.headers), body))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Stay quiet."""
