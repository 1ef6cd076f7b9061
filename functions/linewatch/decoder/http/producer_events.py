"""``POST /v1/events``: the three types a phone system may send as whole CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloudevents.core.v1.event import CloudEvent

from linewatch import events, payloads
from linewatch.calls import CallEnd, CallStart, ChannelKey
from linewatch.decoder.http.intake import Heard, checked_chunk, checked_start, start_ms
from linewatch.decoder.http.media import media_type
from linewatch.errors import BadEvent, Forbidden

BATCH: str = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class HeardOn:
    """A chunk and the channel it was heard on."""

    key: ChannelKey
    heard: Heard


Deed = CallStart | CallEnd | HeardOn


def events_of(content_type: str, headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """Read one event, binary or structured, or a batch of them.

    Raises:
        BadEvent: it is none.
    """
    if content_type.split(";", maxsplit=1)[0].strip().lower() == BATCH:
        return events.batch_from_http(body)
    return [events.from_http(headers, body)]


def deed_of(event: CloudEvent, tenant: str) -> Deed:
    """Return what *event* asks of the decoder.

    Raises:
        LinewatchError: it is no producer's event, broken, or another tenant's.
    """
    claimed = event.get_extension("tenant")
    if claimed not in (None, tenant):
        raise Forbidden("the token belongs to another tenant than the event names")
    kind = event.get_type()
    if kind == events.AUDIO_CHUNK:
        return _heard(event, tenant)
    if kind not in (events.CALL_STARTED, events.CALL_ENDED):
        taken = f"{events.CALL_STARTED}, {events.AUDIO_CHUNK} or {events.CALL_ENDED}"
        raise BadEvent(f"a producer sends {taken}")
    value = payloads.read(event)
    if not isinstance(value, CallStart | CallEnd) or value.tenant != tenant:
        raise Forbidden("the token belongs to another tenant than the event names")
    return checked_start(value) if isinstance(value, CallStart) else value


def _heard(event: CloudEvent, tenant: str) -> HeardOn:
    """Read ``subject`` = call, extension ``channel``, and the chunk's numbers."""
    key = ChannelKey.of(tenant, event.get_subject(), event.get_extension("channel"))
    data = event.get_data()
    audio = data.encode() if isinstance(data, str) else data
    if not isinstance(audio, bytes):
        raise BadEvent("the data of a chunk is audio: send data_base64")
    media = media_type(event.get_datacontenttype() or "")
    numbers = {name: event.get_extension(name) for name in ("sequence", "position", "stream")}
    moment = event.get_time()
    started_at_ms = start_ms(moment) if moment else None
    return HeardOn(key, Heard(checked_chunk(media, numbers, audio), started_at_ms))
