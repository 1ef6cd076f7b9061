"""The sink: an HTTP door to the event log, one path a KafkaSink of the manifests.

``python -m eventing.sink``. ``POST /{sink}`` takes one CloudEvent and answers 202
once it is written, as KafkaSink's receiver does.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from eventing import topology
from eventing.metrics import SinkMeters, Taking
from eventing.topology import Topology
from linewatch import events
from linewatch.errors import (
    BadEvent,
    LinewatchError,
    NotFound,
    SettingsError,
    Unavailable,
)
from linewatch.eventlog.choice import open_log
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.settings import LogSettings
from linewatch.events import Record
from linewatch.serving import metrics_text
from linewatch.serving.problems import answer_problems
from linewatch.serving.readiness import Readiness
from linewatch.serving.server import Server, log_to_stderr
from linewatch.settings import bind_host, host_port, load, setting, whole

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
_THREADS = 16
# The caller learns within a second that Redis is away; Kafka may need longer to elect.
_ANSWER_S = 0.8
_KAFKA_ANSWER_S = 5.0
Paths = Mapping[str, str]
Reader = Callable[[Mapping[str, str], bytes, str], Record]
_JSON = re.compile(r"[^/]+/([^;]+\+)?json\s*(;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SinkSettings(LogSettings):
    """What the sink needs."""

    host: str = setting("BIND", bind_host, "127.0.0.1", "the address to listen on")
    port: int = setting("PORT", whole(1, 65535), "8091", "the port to listen on")
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )


def record_of(headers: Mapping[str, str], body: bytes, topic: str) -> Record:
    """Return the record that KafkaSink would write for a request: binary, bytes kept.

    Raises:
        BadEvent: there is no event, or more than one.
    """
    event = events.from_http(headers, body)
    record = events.to_record(event, topic)
    if "\0" in record.key:
        raise BadEvent("partitionkey must not hold a NUL byte: it would hold up its partition")
    content_type = {name.lower(): text for name, text in headers.items()}.get("content-type", "")
    if events.is_structured(content_type):
        return record
    if body and _JSON.fullmatch(content_type):
        _check_json(body)
    return Record(topic, record.key, record.headers, body)


def _check_json(body: bytes) -> None:
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvent(
            "the data is not valid JSON, as content-type says: correct either"
        ) from error


def create(
    event_log: EventLog, sinks: Paths, read: Reader = record_of, meters: SinkMeters | None = None
) -> Flask:
    """Return the app that writes to *event_log* what *read* makes of a request.

    *sinks* maps a path to its topic.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    meters, ready = meters or SinkMeters(), Readiness(event_log.ping)
    for name in sinks:
        meters.begin(name)

    @app.post("/<name>")
    def _publish(name: str) -> tuple[str, int]:
        if name not in sinks:
            raise NotFound(f"there is no sink {name[:80]!r}: use {', '.join(sorted(sinks))}")
        with _counted(meters, name):
            record = read(dict(request.headers), request.get_data(), sinks[name])
            event_log.publish([record])
        return "", HTTPStatus.ACCEPTED

    @app.get("/metrics")
    def _metrics() -> Response:
        return Response(meters.text(), content_type=metrics_text.CONTENT_TYPE)

    @app.get("/health/liveness")
    def _alive() -> tuple[str, int]:
        return "", HTTPStatus.NO_CONTENT

    @app.get("/health/readiness")
    def _ready() -> tuple[str, int]:
        ready.check()
        return "", HTTPStatus.NO_CONTENT

    answer_problems(app)
    return app


@contextmanager
def _counted(meters: SinkMeters, sink: str) -> Iterator[None]:
    try:
        yield
    except Unavailable:
        meters.count(sink, Taking.FAILED)
        raise
    except (LinewatchError, HTTPException):
        meters.count(sink, Taking.REFUSED)
        raise
    meters.count(sink, Taking.TAKEN)


def log_of(settings: SinkSettings, sinks: Paths) -> EventLog:
    """Return the log that *settings* name, once it is known to let us in.

    Raises:
        SettingsError: the settings are wrong, or Kafka is away or has no such topics.
    """
    event_log = open_log(settings, _KAFKA_ANSWER_S if settings.kafka_brokers else _ANSWER_S)
    event_log.check(sinks.values())
    return event_log


def serve(
    env: Mapping[str, str],
    role: str,
    paths: Callable[[Topology], Paths],
    app: Callable[[EventLog, Topology], Flask],
) -> int:
    """Serve *app* until SIGTERM; return the exit status if nothing was started.

    *paths* returns the topic of each of its paths.
    """
    log_to_stderr()
    try:
        settings = load(SinkSettings, env)
        read = topology.load(Path(settings.manifests))
        known = paths(read)
        event_log = log_of(settings, known)
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    log.info("%s: %s on port %d", role, ", ".join(sorted(known)), settings.port)
    bind = host_port(settings.host, settings.port)
    Server(lambda: app(event_log, read), bind, _THREADS, event_log.close).run()
    return 0


def main(env: Mapping[str, str]) -> int:
    """Serve until SIGTERM; return the exit status if nothing was started."""
    return serve(
        env, "sink", lambda read: read.sinks, lambda event_log, read: create(event_log, read.sinks)
    )


if __name__ == "__main__":
    sys.exit(main(os.environ))
