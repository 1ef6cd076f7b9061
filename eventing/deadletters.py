"""The receiver of dead letters: an HTTP server that writes them to the log itself.

``python -m eventing.deadletters``. ``POST /{topic}`` answers 202 once the letter is
written. It shares no pod with what functions publish through, so that one outage
cannot lose both a score and the dead letter of its utterance.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from flask import Flask

from eventing import sink
from eventing.log import Log
from eventing.request import Event
from linewatch.errors import BadEvent
from linewatch.events import Record

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
        raise BadEvent(f"this is no CloudEvent in binary mode: send {', '.join(missing)}")
    event = Event(attributes, lower.get("content-type", ""), body)
    return event.record(topic, attributes.get("partitionkey", ""))


def create(event_log: Log, paths: sink.Paths) -> Flask:
    """Return the app that writes dead letters to *event_log*; *paths* maps a path to its topic."""
    return sink.create(event_log, paths, letter_of)


def main(env: Mapping[str, str]) -> int:
    """Serve until SIGTERM; return the exit status if nothing was started."""
    return sink.serve(
        env, "deadletters", lambda read: {each: each for each in read.dead_letters}, create
    )


if __name__ == "__main__":
    sys.exit(main(os.environ))
