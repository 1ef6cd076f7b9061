"""The pipeline's health as the foot of the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linewatch.board.rows import DecoderHealth, FunctionHealth, Health
from streamlit_app.strip import STORE_FULL_PCT
from streamlit_app.view import counted


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its label; *bad* marks what somebody should look at."""

    label: str
    value: str
    note: str = ""
    bad: bool = False
    percent: int | None = None


def _decoder(decoder: DecoderHealth) -> Figure:
    percent = min(100, round(100 * decoder.sessions / max(1, decoder.capacity)))
    note = f"{decoder.forwards:,} forwarded · {decoder.adoptions:,} adopted"
    if decoder.undecodable:
        note += f" · {decoder.undecodable:,} undecodable"
    value = f"{decoder.sessions}/{decoder.capacity}"
    return Figure(decoder.pod, value, note, decoder.undecodable > 0, percent)


def _counts(label: str, counts: Mapping[str, int], silent: str, *, bad: bool) -> Figure:
    """Sum up a count by source; an empty one means that nobody reports it."""
    if not counts:
        return Figure(label, silent, "", bad=True)
    note = " · ".join(f"{source} {count:,}" for source, count in sorted(counts.items()) if count)
    return Figure(label, f"{sum(counts.values()):,}", note, bad and any(counts.values()))


def _function(function: FunctionHealth) -> Figure:
    started = counted(function.cold_starts, "cold start")
    return Figure(function.name, counted(function.replicas, "replica"), started)


def functions(health: Health) -> tuple[Figure, ...]:
    """Return each function's replicas, 0 as 0, and how often it started from 0."""
    if not health.functions:
        return (Figure("functions", "not reporting", "", bad=True),)
    return tuple(_function(each) for each in health.functions)


def decoders(health: Health) -> tuple[Figure, ...]:
    """Return each decoder's load, with its share of the capacity in percent."""
    if not health.decoders:
        return (Figure("decoders", "none alive", "", bad=True),)
    return tuple(_decoder(each) for each in sorted(health.decoders, key=lambda one: one.pod))


def delivery(health: Health) -> tuple[Figure, ...]:
    """Return what waits and what was given up, between the decoders and the board."""
    full = health.store_used_pct >= STORE_FULL_PCT
    return (
        _counts("lag", health.lag, "not reporting", bad=False),
        _counts("dead letters", health.dead_letters, "not reporting", bad=True),
        Figure("outbox", f"{health.outbox:,}"),
        Figure("store", f"{health.store_used_pct:.0f} %", "", full),
    )
