"""The event contract: the types, their topics and ids, and the road to HTTP and Kafka.

Every event is a pure function of the value it tells: ids come from sample
numbers, ``time`` from the call's start plus audio, ``traceparent`` from hashes.
So an event that is made again is the same bytes, and every consumer upserts by
(``source``, ``id``).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Final

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from linewatch import envelopes
from linewatch.calls import (
    Alert,
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    ChannelKey,
    Missing,
    Score,
    Utterance,
    call_source,
)
from linewatch.errors import BadEvent
from linewatch.trace_context import trace_parent

CALL_STARTED: Final = "linewatch.call.started.v1"
AUDIO_CHUNK: Final = "linewatch.audio.chunk.v1"
UTTERANCE_FINAL: Final = "linewatch.utterance.final.v1"
UTTERANCE_SCORED: Final = "linewatch.utterance.scored.v1"
CALL_GAP: Final = "linewatch.call.gap.v1"
CALL_ALERT: Final = "linewatch.call.alert.v1"
CALL_UPDATED: Final = "linewatch.call.updated.v1"
CALL_ENDED: Final = "linewatch.call.ended.v1"
CALL_RESUMED: Final = "linewatch.call.resumed.v1"

#: The topic each type is published to. A chunk travels by HTTP only.
TOPICS: Final[Mapping[str, str]] = {
    CALL_STARTED: "calls",
    CALL_UPDATED: "calls",
    CALL_GAP: "calls",
    CALL_ENDED: "calls",
    CALL_RESUMED: "calls",
    UTTERANCE_FINAL: "utterances",
    UTTERANCE_SCORED: "scores",
    CALL_ALERT: "alerts",
}

#: Partitions of the outbox and of every topic.
PARTITIONS: Final = 12

_FORMAT = envelopes.Format()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def partition_of(call: str, partitions: int = PARTITIONS) -> int:
    """Return the partition that all events of *call* share."""
    return zlib.crc32(call.encode()) % partitions


def at(milliseconds: int) -> datetime:
    """Return the point in time *milliseconds* after 1970 (UTC)."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def at_ms(moment: datetime) -> int:
    """Return *moment* as milliseconds since 1970."""
    return round((moment - _EPOCH) / timedelta(milliseconds=1))


def _event(
    kind: str,
    *,
    tenant: str,
    call: str,
    source: str,
    event_id: str,
    time_ms: int,
    data: dict[str, object],
    **extensions: str,
) -> CloudEvent:
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "type": kind,
        "source": source,
        "id": event_id,
        "subject": call,
        "time": at(time_ms),
        "datacontenttype": "application/json",
        "tenant": tenant,
        "partitionkey": call,
        "traceparent": trace_parent(tenant, call, source, event_id),
        **extensions,
    }
    return CloudEvent(attributes, {"tenant": tenant, "call": call, **data})


def _channel_event(
    kind: str,
    key: ChannelKey,
    event_id: str,
    time_ms: int,
    data: dict[str, object],
    **extensions: str,
) -> CloudEvent:
    return _event(
        kind,
        tenant=key.tenant,
        call=key.call,
        source=key.source,
        event_id=event_id,
        time_ms=time_ms,
        data={"channel": str(key.channel), **data},
        channel=str(key.channel),
        **extensions,
    )


def call_started(start: CallStart) -> CloudEvent:
    """Tell that a call began."""
    return _event(
        CALL_STARTED,
        tenant=start.tenant,
        call=start.call,
        source=call_source(start.tenant, start.call),
        event_id="started",
        time_ms=start.started_at_ms,
        data={
            "line": start.line,
            "agent": start.agent,
            "queue": start.queue,
            "direction": start.direction,
            "started_at": timestamp(start.started_at_ms),
            **({"clock_off_ms": start.clock_off_ms} if start.clock_off_ms else {}),
        },
    )


def call_updated(update: CallUpdate) -> CloudEvent:
    """Tell what was learned of a call, or changed, after it began."""
    said: dict[str, object] = {**update.words}
    if update.channels:
        said["channels"] = list(update.channels)
    digest = sha256(json.dumps(update.words, sort_keys=True).encode()).hexdigest()[:8]
    return _event(
        CALL_UPDATED,
        tenant=update.tenant,
        call=update.call,
        source=call_source(update.tenant, update.call),
        event_id=f"updated-{update.at_ms}-{digest}",
        time_ms=update.at_ms,
        data=said,
    )


def call_ended(end: CallEnd) -> CloudEvent:
    """Tell that a call's last channel ended, and what was counted."""
    return _event(
        CALL_ENDED,
        tenant=end.tenant,
        call=end.call,
        source=call_source(end.tenant, end.call),
        event_id=f"ended-{end.generation}" if end.generation else "ended",
        time_ms=end.ended_at_ms,
        data={
            "started_at": timestamp(end.started_at_ms),
            "ended_at": timestamp(end.ended_at_ms),
            "reason": str(end.reason),
            "chunks": end.chunks,
            "utterances": end.utterances,
            "gaps": end.gaps,
            "generation": end.generation,
        },
    )


def call_resumed(resumed: CallResumed) -> CloudEvent:
    """Tell that a call came back after it was given up."""
    return _event(
        CALL_RESUMED,
        tenant=resumed.tenant,
        call=resumed.call,
        source=call_source(resumed.tenant, resumed.call),
        event_id=f"resumed-{resumed.generation}",
        time_ms=resumed.resumed_at_ms,
        data={
            "started_at": timestamp(resumed.started_at_ms),
            "resumed_at": timestamp(resumed.resumed_at_ms),
            "generation": resumed.generation,
        },
    )


def call_gap(missing: Missing) -> CloudEvent:
    """Tell that a stretch of a channel was not heard."""
    return _channel_event(
        CALL_GAP,
        missing.key,
        f"{missing.first_sample}-gap",
        missing.started_at_ms + missing.end_ms,
        {
            "first_sample": missing.first_sample,
            "start_ms": missing.start_ms,
            "end_ms": missing.end_ms,
            "reason": str(missing.reason),
        },
    )


def utterance_final(utterance: Utterance) -> CloudEvent:
    """Tell what was said between two edges."""
    words = [
        {
            "text": word.text,
            "start_ms": word.start_ms,
            "end_ms": word.end_ms,
            "confidence": word.confidence,
        }
        for word in utterance.words
    ]
    return _channel_event(
        UTTERANCE_FINAL,
        utterance.key,
        f"{utterance.first_sample}-final",
        utterance.started_at_ms + utterance.end_ms,
        {**_spoken(utterance), "words": words},
        sequence=str(utterance.index),
        modeldigest=utterance.digest,
    )


def utterance_scored(score: Score) -> CloudEvent:
    """Tell how one utterance was scored, by whom and by which version of the scorer."""
    return _channel_event(
        UTTERANCE_SCORED,
        score.key,
        f"{score.first_sample}-scored-{score.consumer}-{score.scorer_version}",
        score.started_at_ms + score.end_ms,
        {
            **_spoken(score),
            "polarity": score.polarity,
            "subjectivity": score.subjectivity,
            "nouns": list(score.nouns),
            "consumer": score.consumer,
            "scorer": score.scorer,
            "scorer_version": score.scorer_version,
        },
        sequence=str(score.index),
        modeldigest=score.digest,
    )


def call_alert(alert: Alert) -> CloudEvent:
    """Tell that a call met a rule."""
    evidence = [
        {"channel": str(piece.channel), "first_sample": piece.first_sample}
        for piece in alert.evidence
    ]
    return _event(
        CALL_ALERT,
        tenant=alert.tenant,
        call=alert.call,
        source=call_source(alert.tenant, alert.call),
        event_id=f"{alert.rule}-alert",
        time_ms=alert.started_at_ms + alert.at_ms,
        data={
            "rule": alert.rule,
            "severity": str(alert.severity),
            "reason": alert.reason,
            "at_ms": alert.at_ms,
            "evidence": evidence,
        },
    )


def _spoken(said: Utterance | Score) -> dict[str, object]:
    return {
        "index": said.index,
        "first_sample": said.first_sample,
        "start_ms": said.start_ms,
        "end_ms": said.end_ms,
        "text": said.text,
    }


def timestamp(milliseconds: int) -> str:
    """Return a point in time as RFC 3339 with milliseconds."""
    return at(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Record:
    """An event as it lies in a log: Kafka's binary content mode.

    *headers* holds ``ce_*`` and ``content-type``; *key* decides the partition.
    """

    topic: str
    key: str
    headers: Mapping[str, bytes]
    value: bytes

    @property
    def partition(self) -> int:
        """The partition of the outbox and of the local log."""
        return partition_of(self.key)

    def fields(self) -> dict[str, bytes]:
        """Return the record as the flat fields of a Redis stream entry."""
        own = {"topic": self.topic.encode(), "key": self.key.encode(), "value": self.value}
        return {**own, **self.headers}

    @classmethod
    def of_fields(cls, fields: Mapping[bytes, bytes]) -> Record:
        """Read what `fields` wrote."""
        headers = {name.decode(): value for name, value in fields.items()}
        topic, key, value = (headers.pop(name) for name in ("topic", "key", "value"))
        return cls(topic.decode(), key.decode(), headers, value)


def to_record(event: CloudEvent, topic: str | None = None) -> Record:
    """Return *event* as a record of its type's topic, or of *topic*."""
    message = kafka.to_binary_event(event)
    key = message.key.decode() if isinstance(message.key, bytes) else message.key or ""
    return Record(topic or TOPICS[event.get_type()], key, message.headers, message.value)


def to_http(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Return *event* as headers and body, binary content mode."""
    message = http.to_binary_event(event)
    return message.headers, message.body


def is_structured(content_type: str) -> bool:
    """Tell whether the body holds one whole event as JSON."""
    return content_type.split(";", maxsplit=1)[0].strip().lower() == JSONFormat.CONTENT_TYPE


def from_http(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """Read one event, binary or structured; null in it means unset.

    Raises:
        BadEvent: it is no CloudEvent of version 1.0, or its JSON cannot be read.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if is_structured(lower.get("content-type", "")):
        return envelopes.read(lambda: envelopes.structured(json.loads(body)))
    if "ce-specversion" not in lower:
        raise BadEvent(
            "this is not a CloudEvent: send ce-* headers or application/cloudevents+json"
        )
    time = lower.pop("ce-time", None)
    as_sent = partial(envelopes.as_sent, time=time)
    message = http.HTTPMessage(lower, body)
    return envelopes.read(lambda: http.from_binary(message, _FORMAT, as_sent))


def from_record(record: Record) -> CloudEvent:
    """Read what `to_record` wrote, or any Kafka client: binary or structured content mode.

    Raises:
        BadEvent: it is no CloudEvent of version 1.0, or its JSON cannot be read.
    """
    headers = {name.lower(): value for name, value in record.headers.items()}
    if is_structured(headers.get("content-type", b"").decode("latin-1")):
        return envelopes.read(lambda: envelopes.structured(json.loads(record.value)))
    if "ce_specversion" not in headers:
        raise BadEvent("the record is not a CloudEvent: it lacks the header ce_specversion")
    time = headers.pop("ce_time", b"").decode("latin-1") or None
    as_sent = partial(envelopes.as_sent, time=time)
    message = kafka.KafkaMessage(headers, record.key or None, record.value)
    return envelopes.read(lambda: kafka.from_binary(message, _FORMAT, as_sent))
