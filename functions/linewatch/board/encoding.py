"""How the board's values lie in Redis: JSON, there and back. No I/O.

Writer and reader may be of different versions, either the newer one: members that are not known
are left out, and what cannot be read is nothing, never an error. A value without ``v`` is of
version 1. Raise `VERSION` only when older code must not read what is written from then on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Final, TypeVar

from linewatch.board.rows import CallRow
from linewatch.calls import (
    Alert,
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    Channel,
    ChannelKey,
    EndReason,
    Evidence,
    GapReason,
    Missing,
    Score,
    Severity,
)

#: What the board is told about a call.
Fact = CallStart | CallUpdate | CallEnd | CallResumed | Missing | Score

VERSION: Final = 1
_FACTS_REMEMBERED: Final = 8192
_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
_KINDS: Final[Mapping[str, Any]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "int | None": (int, NoneType),
    "float | None": (int, float, NoneType),
}
T = TypeVar("T")

START: Final = "start"
UPDATES: Final = "updates"
END: Final = "end"
SCORE: Final = "score"
GAP: Final = "gap"


def field_of(fact: Fact) -> str:
    """Return the field of a call's hash that *fact* lies in.

    An utterance's scores share one, so do a call's updates, and its ends and what took them back.
    """
    match fact:
        case CallStart():
            return START
        case CallUpdate():
            return UPDATES
        case CallEnd() | CallResumed():
            return END
        case Score():
            return f"{SCORE}:{fact.key.channel}:{fact.first_sample}"
        case Missing():
            return f"{GAP}:{fact.key.channel}:{fact.first_sample}"


def dumps_facts(facts: Sequence[Fact]) -> str:
    """Write all *facts* of one field as JSON; equal facts give equal text."""
    return f"[{','.join(map(dumps, facts))}]"


def dumps(value: Fact | CallRow | Alert) -> str:
    """Write *value* as JSON; equal values give equal text."""
    return json.dumps(dataclasses.asdict(value), separators=(",", ":"))


def loads_facts(field: str, text: str) -> tuple[Fact, ...]:
    """Read what `dumps_facts` wrote into *field*, but for what this version cannot read."""
    return tuple(fact for _, fact in _read(field, text) or () if fact is not None)


def unreadable_in(field: str, text: str) -> int:
    """Return how many facts in *field* this version cannot read."""
    found = _read(field, text)
    return 1 if found is None else sum(fact is None for _, fact in found)


def with_facts(field: str, text: str, facts: Iterable[Fact]) -> str | None:
    """Return *text* of *field* with *facts* in place of those that can be read; none if none can.

    What is known already stays as it was written, members that only newer code knows included.
    """
    found = _read(field, text)
    if found is None:
        return None
    written = {fact: data for data, fact in found if fact is not None}
    texts = [_text(written[fact]) if fact in written else dumps(fact) for fact in facts]
    return f"[{','.join([*texts, *(_text(data) for data, fact in found if fact is None)])}]"


def _text(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


# A call that is folded anew often is read whole each time.
@lru_cache(maxsize=_FACTS_REMEMBERED)
def _read(field: str, text: str) -> tuple[tuple[object, Fact | None], ...] | None:
    """Return each value in *field* with the fact that it tells; nothing if it is no list."""
    values = _parsed(text, json.loads)
    if not isinstance(values, list):
        return None
    return tuple((data, _parsed(data, lambda known: _fact(field, known))) for data in values)


def _parsed(value: Any, reader: Callable[[Any], T]) -> T | None:  # noqa: ANN401 - JSON
    try:
        return reader(value)
    except _UNREADABLE:
        return None


def _fact(field: str, data: dict[str, Any]) -> Fact:
    match field.partition(":")[0]:
        case "start":
            return _made(CallStart, data)
        case "updates":
            return _made(CallUpdate, data, channels=tuple(map(Channel, data["channels"])))
        case "end" if "resumed_at_ms" in data:
            return _made(CallResumed, data)
        case "end":
            return _made(CallEnd, data, reason=EndReason(data["reason"]))
        case "score":
            return _made(Score, data, key=_key(data["key"]), nouns=_texts(data["nouns"]))
        case "gap":
            return _made(Missing, data, key=_key(data["key"]), reason=GapReason(data["reason"]))
    raise ValueError(field)


def _key(data: dict[str, Any]) -> ChannelKey:
    return _made(ChannelKey, data, channel=Channel(data["channel"]))


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _made(kind: type[T], data: Mapping[str, Any], **read: object) -> T:
    """Make a *kind* of the members of *data* that it has, and of those *read* already.

    One that is missing, or of another type, takes its default.

    Raises:
        ValueError: newer code wrote it, for newer code alone.
        TypeError: a member has no default.
    """
    if data.get("v", VERSION) > VERSION:
        raise ValueError(data["v"])
    kinds = _kinds(kind)  # type: ignore[arg-type] # a class is hashable
    known = {
        name: value
        for name, value in data.items()
        if name in kinds and isinstance(value, kinds[name])
    }
    return kind(**{**known, **read})


@cache
def _kinds(kind: type) -> Mapping[str, Any]:
    """Return what the members of *kind* may be, as far as that can be told at a glance."""
    return {name: _KINDS.get(what, object) for name, what in kind.__annotations__.items()}


def loads_row(text: str) -> CallRow | None:
    """Read a row that `dumps` wrote; nothing if this version cannot."""
    return _parsed(text, _row)


def _row(text: str) -> CallRow:
    data: dict[str, Any] = json.loads(text)
    spoken = data["talk_ms"].items()
    talk_ms = {_parsed(name, Channel): int(spoken_ms) for name, spoken_ms in spoken}
    return _made(
        CallRow,
        data,
        customer_trend=tuple(map(float, data["customer_trend"])),
        agent_trend=tuple(map(float, data["agent_trend"])),
        nouns=_texts(data["nouns"]),
        rules=_texts(data["rules"]),
        agents_before=_texts(data.get("agents_before", ())),
        last_channel=_parsed(data["last_channel"], Channel),
        talk_ms={name: spoken_ms for name, spoken_ms in talk_ms.items() if name is not None},
    )


def loads_raised(text: str) -> tuple[int, Alert] | None:
    """Read an alert that `dumps` wrote after when it was raised; nothing if this version cannot."""
    return _parsed(text, _raised)


def _raised(text: str) -> tuple[int, Alert]:
    raised_at_ms, _, written = text.partition("|")
    data: dict[str, Any] = json.loads(written)
    evidence = tuple(_made(Evidence, e, channel=Channel(e["channel"])) for e in data["evidence"])
    alert = _made(Alert, data, severity=Severity(data["severity"]), evidence=evidence)
    return int(raised_at_ms), alert
