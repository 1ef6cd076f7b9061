"""What the script ``announce`` is told of a call."""

from __future__ import annotations

from collections.abc import Sequence

from linewatch import keys
from linewatch.calls import CallStart, CallUpdate, Channel
from linewatch.decoder.store.scripts import Part, flat
from linewatch.events import call_started, call_updated, to_record


def parts(
    start: CallStart,
    channels: Sequence[Channel],
    update: CallUpdate | None,
    *,
    is_dated: bool,
) -> list[Part]:
    """Return the script's arguments; *is_dated* tells that *update* names its own moment."""
    started = flat(to_record(call_started(start)))
    said = update or CallUpdate(start.tenant, start.call, start.started_at_ms)
    event = call_updated(said)
    words = [part for pair in said.words.items() for part in pair]
    member = keys.call_member(start.tenant, start.call)
    call: list[Part] = [start.started_at_ms, keys.TOMBSTONE_EXPIRES_S, member, len(channels)]
    told: list[Part] = [said.at_ms, int(is_dated), event.get_id(), len(said.words)]
    records = [len(started), *started, *flat(to_record(event))]
    return [*call, *channels, *told, *words, *records]
