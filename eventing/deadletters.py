"""The receiver of dead letters: an HTTP server that writes them to the log itself.

``python -m eventing.deadletters``. ``POST /{topic}`` answers 202 once the letter is
written. It shares no pod with what functions publish through, so that one outage
cannot lose both a score and the dead letter of its utterance. ``POST /missing`` takes
what a comparison found (`report`) and shows it to Prometheus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from flask import Flask, request

from eventing import sink
from eventing.delivery.kafkasource_request import Event
from eventing.metrics import MissingMeters, SinkMeters
from eventing.reconciliation import report
from eventing.topology import Topology
from linewatch.errors import BadEvent
from linewatch.eventlog.protocol import EventLog
from linewatch.events import Record
from linewatch.serving import metrics_text

_REQUIRED: Final = ("specversion", "id", "source", "type")


def letter_of(headers: Mapping[str, str], body: bytes, topic: str) -> Record:
    """Return the record of a dead letter as it came: its event may be broken, hence the letter.

    Raises:
        BadEvent: there is no event in binary content mode.
    """
    lower = {name.lower(): text for name, text in headers.items()}
    attributes = {name[3:]: unquote(text) for name, text in lower.items() if name[:3] == "ce-"}
    missing = [f"ce-{name}" for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise BadEvent(f"this is not a CloudEvent in binary mode: send {', '.join(missing)}")
    event = Event(attributes, lower.get("content-type", ""), body)
    return event.record(topic, attributes.get("partitionkey", ""))


def create(event_log: EventLog, known: Topology) -> Flask:
    """Return the app that writes the dead letters of *known*'s sources to *event_log*."""
    registry = metrics_text.registry()
    found = MissingMeters(registry)
    app = sink.create(event_log, paths_of(known), letter_of, SinkMeters(registry))
    sources = [each.name for each in known.sources]

    @app.post(report.PATH)
    def _missing() -> tuple[str, int]:
        found.show(*report.read(request.get_data(), sources))
        return "", HTTPStatus.NO_CONTENT

    return app


def paths_of(known: Topology) -> sink.Paths:
    """Return which path leads to which topic of dead letters."""
    return {each: each for each in known.dead_letters}


def main(env: Mapping[str, str]) -> int:
    """Serve until SIGTERM; return the exit status if nothing was started."""
    return sink.serve(env, "deadletters", paths_of, create)


if __name__ == "__main__":
    sys.exit(main(os.environ))
