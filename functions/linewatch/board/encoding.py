"""How the board's values lie in Redis: JSON, there and back. No I/O.

The writer and the reader are one version of one module: what is read here was
checked when it came in, so it is not checked again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from linewatch.board.rows import CallRow
from linewatch.calls import (
    Alert,
    CallEnd,
    CallResumed,
    CallStart,
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
Fact = CallStart | CallEnd | CallResumed | Missing | Score

_FACTS_REMEMBERED: Final = 8192

START: Final = "start"
END: Final = "end"
SCORE: Final = "score"
GAP: Final = "gap"


def field_of(fact: Fact) -> str:
    """Return the field of a call's hash that *fact* lies in.

    An utterance's scores share one, and so do a call's ends and what took them back.
    """
    match fact:
        case CallStart():
            return START
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


# A long call's facts are all read again for each new one.
@lru_cache(maxsize=_FACTS_REMEMBERED)
def loads_facts(field: str, text: str) -> tuple[Fact, ...]:
    """Read what `dumps_facts` wrote into *field*."""
    return tuple(_fact(field, data) for data in json.loads(text))


def _fact(field: str, data: dict[str, Any]) -> Fact:
    if field == START:
        return CallStart(**data)
    if field == END:
        if "resumed_at_ms" in data:
            return CallResumed(**data)
        return CallEnd(**{**data, "reason": EndReason(data["reason"])})
    data["key"] = ChannelKey(**{**data["key"], "channel": Channel(data["key"]["channel"])})
    if field.startswith(SCORE):
        return Score(**{**data, "nouns": tuple(data["nouns"])})
    return Missing(**{**data, "reason": GapReason(data["reason"])})


def loads_row(text: str) -> CallRow:
    """Read a row that `dumps` wrote."""
    data: dict[str, Any] = json.loads(text)
    for name in ("customer_trend", "agent_trend", "nouns", "rules"):
        data[name] = tuple(data[name])
    data["last_channel"] = data["last_channel"] and Channel(data["last_channel"])
    data["talk_ms"] = {Channel(name): spoken_ms for name, spoken_ms in data["talk_ms"].items()}
    return CallRow(**data)


def loads_alert(text: str) -> Alert:
    """Read an alert that `dumps` wrote."""
    data: dict[str, Any] = json.loads(text)
    data["severity"] = Severity(data["severity"])
    data["evidence"] = tuple(
        Evidence(Channel(each["channel"]), each["first_sample"]) for each in data["evidence"]
    )
    return Alert(**data)
