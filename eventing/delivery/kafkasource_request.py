"""What a KafkaSource makes of a record: the request it sends, the dead letter it leaves.

The rules are those observed on the real one; nothing here does I/O.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from eventing.topology import Source
from linewatch import events
from linewatch.errors import BadEvent
from linewatch.eventlog.record import Entry
from linewatch.events import Record
from linewatch.settings import shown_url

#: Bytes of an answer that a dead letter keeps.
ERROR_BYTES: Final = 1024
_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_CORE = frozenset(
    ("specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype")
)
# What RFC 3986 lets stand, and all other visible ASCII but '"' and '%': as the SDK writes it.
_SAFE = "!#$&'()*+,/:;<=>?@[\\]^_`{|}~-."


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent ready to be sent: attributes without prefix, and the body's bytes."""

    attributes: Mapping[str, str]
    content_type: str
    body: bytes

    def with_extensions(self, **extensions: str) -> Event:
        """Return the event with *extensions* added, overwriting its own."""
        return Event({**self.attributes, **extensions}, self.content_type, self.body)

    def headers(self, namespace: str) -> dict[str, str]:
        """Return the headers of the POST."""
        found = {f"ce-{name}": quote(text, safe=_SAFE) for name, text in self.attributes.items()}
        if self.content_type:
            found["content-type"] = self.content_type
        return {**found, "Prefer": "reply", "Kn-Namespace": namespace}

    def record(self, topic: str, key: str) -> Record:
        """Return the event as a record of *topic*."""
        headers = {f"ce_{name}": text.encode() for name, text in self.attributes.items()}
        if self.content_type:
            headers["content-type"] = self.content_type.encode()
        return Record(topic, key, headers, self.body)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event was given up; a time-out has no *status*."""

    destination: str
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] | None = None

    def extensions(self) -> dict[str, str]:
        """Return what the dead letter says beside the event."""
        found = {"knativeerrordest": shown_url(self.destination)}
        if self.status is None:
            return found
        found["knativeerrorcode"] = str(self.status)
        if self.body:
            found["knativeerrordata"] = base64.b64encode(self.body[:ERROR_BYTES]).decode()
        return {**_kne(self.headers or {}), **found}


def _kne(headers: Mapping[str, str]) -> dict[str, str]:
    sent = {name.lower()[4:]: text for name, text in headers.items() if name.lower()[:4] == "kne-"}
    # The real one dies of kne-bad-name and corrupts the event by kne-id: both are left out.
    return {
        name: text
        for name, text in sent.items()
        if _ATTRIBUTE.fullmatch(name) and name not in _CORE
    }


def event_of(source: Source, entry: Entry) -> tuple[Event, str]:
    """Return the event to send for *entry*, with Knative's two extensions, and its key.

    A record that is no CloudEvent is wrapped into one; nothing is refused.
    """
    key = entry.fields.get(b"key", b"").decode(errors="replace")
    headers = {
        name.decode(errors="replace"): value
        for name, value in entry.fields.items()
        if name not in {b"topic", b"key", b"value"}
    }
    body = entry.fields.get(b"value", b"")
    event = _binary(headers, body) or _structured(headers, body)
    event = event or _wrapped(source, entry, headers, key)
    added = {
        "knativekafkaoffset": str(entry.offset),
        "knativekafkapartition": str(entry.partition),
    }
    return event.with_extensions(**added), key


def _binary(headers: Mapping[str, bytes], body: bytes) -> Event | None:
    if not all(headers.get(name) for name in _REQUIRED) or headers["ce_specversion"] != b"1.0":
        return None
    named = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
    if not all(_ATTRIBUTE.fullmatch(name) for name in named):
        return None
    try:
        attributes = {name: value.decode() for name, value in named.items()}
        return Event(attributes, _content_type(headers), body)
    except UnicodeDecodeError:
        return None


def _structured(headers: Mapping[str, bytes], body: bytes) -> Event | None:
    content_type = _content_type(headers)
    if not events.is_structured(content_type):
        return None
    try:
        record = events.to_record(events.from_http({"content-type": content_type}, body), "-")
    except (BadEvent, UnicodeEncodeError):
        return None
    return _binary(record.headers, record.value)


def _wrapped(source: Source, entry: Entry, headers: Mapping[str, bytes], key: str) -> Event:
    place = f"partition:{entry.partition}"
    attributes = {
        "specversion": "1.0",
        "type": "dev.knative.kafka.event",
        "source": f"/apis/v1/namespaces/{source.namespace}"
        f"/kafkasources/{source.name}#{source.topic}",
        "id": f"{place}/offset:{entry.offset}",
        "subject": f"{place}#{entry.offset}",
        "time": events.at(entry.written_at_ms).isoformat().replace("+00:00", "Z"),
    }
    if key:
        attributes |= {"partitionkey": key, "key": key}
    for name, value in headers.items():
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        attributes[f"kafkaheader{plain}"] = value.decode(errors="replace")
    return Event(attributes, _content_type(headers), entry.fields.get(b"value", b""))


def _content_type(headers: Mapping[str, bytes]) -> str:
    # Anything else would end the header, and the request, early.
    text = headers.get("content-type", b"").decode("latin-1")
    return text if text.isprintable() else ""


def dead_letter(source: Source, event: Event, key: str, failure: Failure) -> Record:
    """Return *event* with the reason it failed, as a record of the source's dead letters."""
    letter = event.with_extensions(**failure.extensions())
    return letter.record(source.delivery.dead_letter_topic, key)


def original(source: Source, entry: Entry) -> Record:
    """Return the record a dead letter was made of, to be delivered once more.

    ``reason`` is what our functions' ``kne-reason`` left in it.
    """
    record = Record.of_fields(entry.fields)
    headers = {
        name: text
        for name, text in record.headers.items()
        if not name.startswith(("ce_knativeerror", "ce_knativekafka")) and name != "ce_reason"
    }
    return Record(source.topic, record.key, headers, record.value)
