"""``POST /v1/events``: the four types a phone system may send as whole CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloudevents.core.v1.event import CloudEvent

from linewatch import envelopes, events
from linewatch.calls import ChannelKey, EndReason
from linewatch.decoder.http.announcements import Announcement, announcement_of
from linewatch.decoder.http.arrival import Arrival
from linewatch.decoder.http.intake import Heard, checked_chunk
from linewatch.decoder.http.media import media_type
from linewatch.errors import BadEvent, BadRequest, Forbidden, Unprocessable, in_batch
from linewatch.names import checked_call

BATCH: Final = "application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class HeardOn:
    """A chunk and the channel it was heard on."""

    key: ChannelKey
    heard: Heard


@dataclass(frozen=True, slots=True)
class Ending:
    """A call that its sender ends."""

    tenant: str
    call: str
    reason: EndReason = EndReason.HANGUP


Deed = Announcement | Ending | HeardOn


def events_of(content_type: str, headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """Read one event, binary or structured, or a batch of them.

    Raises:
        BadEvent: it is none.
    """
    if content_type.split(";", maxsplit=1)[0].strip().lower() == BATCH:
        return envelopes.batch(body)
    return [events.from_http(headers, body)]


def deeds_of(found: Sequence[CloudEvent], tenant: str, arrival: Arrival) -> list[Deed]:
    """Return what each event asks of the decoder; *arrival* is when they came.

    Raises:
        LinewatchError: one is no producer's event, broken, or another tenant's; of several, it
            names the first such.
    """
    deeds: list[Deed] = []
    for index, event in enumerate(found):
        with in_batch(index, of=len(found)):
            deeds.append(deed_of(event, tenant, arrival))
    return deeds


def deed_of(event: CloudEvent, tenant: str, arrival: Arrival) -> Deed:
    """Return what *event* asks of the decoder.

    Raises:
        LinewatchError: it is no producer's event, broken, or another tenant's.
    """
    _check_tenant(event.get_extension("tenant"), tenant)
    match event.get_type():
        case events.AUDIO_CHUNK:
            return _heard(event, tenant)
        case events.CALL_STARTED | events.CALL_UPDATED:
            return _announced(event, tenant, arrival)
        case events.CALL_ENDED:
            return _ended(event, tenant)
    taken = (events.CALL_STARTED, events.CALL_UPDATED, events.AUDIO_CHUNK, events.CALL_ENDED)
    raise BadEvent(f"a producer sends one of {', '.join(taken)}")


def _check_tenant(claimed: object, tenant: str) -> None:
    if claimed not in (None, tenant):
        raise Forbidden("the token belongs to another tenant than the event names")


def _said(event: CloudEvent, tenant: str) -> dict[str, Any]:
    """Return what the data says; its call may be left to the subject."""
    data: object = event.get_data()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise Unprocessable("data must be a JSON object")
    said = {name: value for name, value in data.items() if value is not None}
    _check_tenant(said.get("tenant"), tenant)
    return {"call": event.get_subject(), **said}


def _announced(event: CloudEvent, tenant: str, arrival: Arrival) -> Announcement:
    said, time = _said(event, tenant), event.get_time()
    moment = {} if time is None else dict.fromkeys(("started_at", "at"), time.isoformat())
    try:
        return announcement_of(tenant, {**moment, **said}, arrival)
    except BadRequest as error:
        raise Unprocessable(error.detail) from error


def _ended(event: CloudEvent, tenant: str) -> Ending:
    said = _said(event, tenant)
    try:
        return Ending(tenant, checked_call(said["call"]), EndReason(said.get("reason", "hangup")))
    except BadRequest as error:
        raise Unprocessable(error.detail) from error
    except ValueError:
        raise Unprocessable(f"data.reason must be one of {', '.join(EndReason)}") from None


def _heard(event: CloudEvent, tenant: str) -> HeardOn:
    """Read ``subject`` = call, extension ``channel``, and the chunk's numbers."""
    key = ChannelKey.of(tenant, event.get_subject(), event.get_extension("channel"))
    media = media_type(event.get_datacontenttype() or "")
    numbers = {name: event.get_extension(name) for name in ("sequence", "position", "stream")}
    time = event.get_time()
    started_at_ms = events.at_ms(time) if time else None
    return HeardOn(key, Heard(checked_chunk(media, numbers, _audio(event)), started_at_ms))


def _audio(event: CloudEvent) -> bytes:
    audio: object = event.get_data()
    if not isinstance(audio, bytes):
        raise BadEvent("the data of a chunk is audio: send data_base64")
    return audio
