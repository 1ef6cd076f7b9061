"""A function under a test's control, and the values the tests of delivery share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from eventing.topology import Delivery, Source
from linewatch import events
from linewatch.calls import CallStart
from tests.support.loopback import serving
from tests.support.waiting import PATIENCE_S, eventually


def source(name="sentiment", **delivery):
    """Return a KafkaSource whose back-off is short."""
    told = {
        "retries": 2,
        "exponential": True,
        "backoff_s": 0.005,
        "timeout_s": 5.0,
        "dead_letter_topic": f"dead-{name}",
    }
    return Source(
        name=name,
        namespace="default",
        topic="utterances",
        group=f"linewatch-{name}",
        service=name,
        delivery=Delivery(**{**told, **delivery}),
    )


def record(call="call-1", topic="utterances"):
    """Return a real event of a call as a record."""
    return events.to_record(events.call_started(CallStart("default", call, "7", 0)), topic)


def until(holds, within_s=PATIENCE_S):
    """Wait until *holds* returns something true, and return it."""
    return eventually(holds, within_s, every_s=0.005)


@dataclass(frozen=True)
class Request:
    """One POST as it came in."""

    path: str
    headers: dict
    body: bytes
    at_s: float

    @property
    def call(self):
        """The call the event is about."""
        return self.headers["ce-subject"]


class Subscriber:
    """Takes every POST; `answers` are given first, one a request, then 204.

    An answer is a status, or (status, headers, body). `gate` holds requests while it is clear.
    """

    def __init__(self):
        self.requests = []
        self.answers = []
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._now = 0
        handler = type("Handler", (_Handler,), {"subscriber": self})
        self._serving = serving(handler)
        #: Where events are posted to, once it is entered.
        self.url = ""

    def __enter__(self):
        self.url = f"{self._serving.__enter__()}/fn/"
        return self

    def __exit__(self, *error):
        self.gate.set()
        self._serving.__exit__(*error)

    def take(self, request):
        """Keep *request* and return the next answer."""
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            answer = self.answers.pop(0) if self.answers else 204
        self.gate.wait(PATIENCE_S)
        with self._lock:
            self._now -= 1
        return answer if isinstance(answer, tuple) else (answer, {}, b"")


class _Handler(BaseHTTPRequestHandler):
    subscriber: Subscriber
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answer as the test wants."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): text for name, text in self.headers.items()}
        status, answered, reply = self.subscriber.take(
            Request(self.path, headers, body, time.monotonic())
        )
        self.send_response(status)
        for name, text in answered.items():
            self.send_header(name, text)
        if status != 204:
            self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if status != 204:
            self.wfile.write(reply)

    def log_message(self, *_):
        """Stay quiet."""
