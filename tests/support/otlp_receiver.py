"""An OTLP/HTTP collector that keeps the spans it is sent, or fails as it is told."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.loopback import serving
from tests.support.waiting import eventually


class Collector:
    """What arrived: (service, span) in order; *status* is what the next batch is answered with."""

    def __init__(self):
        self.url = ""
        self.status = 200
        self.spans = []
        self.batches = 0

    def take(self, path, body):
        """Keep the spans of one batch."""
        assert path == "/v1/traces"
        self.batches += 1
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            facts = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(facts["service.name"], span) for span in scope.spans]

    def wait_for(self, number):
        """Return the spans once there are *number* of them."""
        eventually(lambda: len(self.spans) >= number)
        return self.spans


@contextmanager
def collector():
    """Serve a collector on loopback."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if kept.status == 200:
                kept.take(self.path, body)
            else:
                kept.batches += 1
            self.send_response_only(kept.status)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with serving(Handler) as kept.url:
        yield kept
