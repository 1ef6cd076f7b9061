"""Rows, details and snapshots of made-up boards, for what shows them."""

from __future__ import annotations

from linewatch.board.rows import (
    AlertRow,
    CallDetail,
    CallRow,
    DecoderHealth,
    FunctionHealth,
    Health,
    Said,
    Snapshot,
)
from linewatch.calls import Channel, Severity

NOW_MS = 1_700_000_600_000
STARTED_AT_MS = NOW_MS - 600_000
HEALTH = Health(
    decoders=(DecoderHealth("decoder-1", 30, 120, 900, 450, 2, 0),),
    functions=(FunctionHealth("board", 1, 1), FunctionHealth("sentiment", 0, 3)),
    lag={"scores": 0, "utterances": 0},
    dead_letters={"scores": 0, "utterances": 0},
)


def row(call="call-1", **changes):
    """A live call of ten minutes whose last words ended three seconds ago."""
    told = {
        "tenant": "default",
        "line": "line-7",
        "agent": "Ana",
        "queue": "billing",
        "started_at_ms": STARTED_AT_MS,
        "ended_at_ms": None,
        "help_score": 10.0,
        "why": "",
        "polarity": 0.25,
        "customer_trend": (0.1, 0.25),
        "agent_trend": (0.0,),
        "last_text": "that is fine",
        "last_channel": Channel.CUSTOMER,
        "last_end_ms": 597_000,
        "nouns": ("bill",),
        "consumer": "sentiment",
        "talk_ms": {Channel.AGENT: 3000, Channel.CUSTOMER: 1000},
        "longest_silence_ms": 12_000,
        "utterances": 2,
        "gaps": 0,
        "rules": (),
    }
    return CallRow(call=call, **told | changes)


def alert(call="call-1", **changes):
    """A warning raised a minute ago."""
    told = {
        "tenant": "default",
        "line": "line-7",
        "rule": "keyword",
        "severity": Severity.WARNING,
        "reason": "wants a refund",
        "raised_at_ms": NOW_MS - 60_000,
    }
    return AlertRow(call=call, **told | changes)


def said(start_ms, text="hello", polarity=0.0, channel=Channel.CUSTOMER, long_ms=2000):
    """One utterance."""
    return Said(channel, start_ms * 16, start_ms, start_ms + long_ms, text, polarity)


def detail(*told, unheard=(), alerts=(), partials=None, **changes):
    """One call's detail."""
    return CallDetail(row(**changes), told, tuple(unheard), tuple(alerts), partials or {})


def snapshot(*rows, alerts=(), health=HEALTH, newest_at_ms=NOW_MS - 400):
    """A board taken at `NOW_MS`."""
    return Snapshot(NOW_MS, newest_at_ms, rows, tuple(alerts), health)
