"""What is said of a call, by ``POST /v1/calls`` or as an event: its start, or an update of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from linewatch.calls import CallStart, CallUpdate, Channel, checked_channel
from linewatch.decoder.http.arrival import Arrival
from linewatch.decoder.http.intake import moment_ms
from linewatch.errors import BadRequest
from linewatch.names import checked_call, checked_label

_MOST_CHANNELS: Final = 16


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a call starts with if it is new, and what it is updated with if it is known.

    *is_dated* tells that the sender said when it learned that, not that it was just now.
    """

    start: CallStart
    update: CallUpdate
    is_dated: bool = False


def announcement_of(tenant: str, fields: Mapping[str, Any], arrival: Arrival) -> Announcement:
    """Read the fields of ``POST /v1/calls``; null means unset.

    Raises:
        BadName, BadRequest, BadChunk: a field is missing or wrong.
    """
    said = {name: value for name, value in fields.items() if value is not None}
    update = update_of(tenant, said, arrival)
    started_at_ms, clock_off_ms = arrival.believed(moment_ms(said.get("started_at")))
    start = CallStart(
        tenant=tenant,
        call=update.call,
        line=update.line or update.call,
        started_at_ms=started_at_ms,
        agent=update.agent,
        queue=update.queue,
        direction=update.direction or "inbound",
        clock_off_ms=clock_off_ms,
    )
    return Announcement(start, update, is_dated=moment_ms(said.get("at")) == update.at_ms)


def update_of(tenant: str, said: Mapping[str, Any], arrival: Arrival) -> CallUpdate:
    """Read what is *said* of a call; nothing of it is null.

    Raises:
        BadName, BadRequest, BadChunk: a field is wrong, or the call is not named.
    """
    labels = {name: checked_label(name, said.get(name, "")) for name in ("line", "agent", "queue")}
    direction = said.get("direction", "")
    if direction not in ("", "inbound", "outbound"):
        raise BadRequest("direction must be inbound or outbound")
    return CallUpdate(
        tenant=tenant,
        call=checked_call(said.get("call")),
        at_ms=arrival.believed(moment_ms(said.get("at")))[0],
        direction=direction,
        channels=channels_of(said),
        **labels,
    )


def channels_of(said: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Read the channels a call will have; none means: whatever comes."""
    found = said.get("channels", [])
    if not isinstance(found, list) or len(found) > _MOST_CHANNELS:
        raise BadRequest(f"channels must be a list of up to {_MOST_CHANNELS} names")
    return tuple(dict.fromkeys(map(checked_channel, found)))
