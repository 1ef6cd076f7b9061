"""What stands above the table: the key figures, and what makes the board doubtful."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Final

from linewatch.board.rows import CallRow, Snapshot
from streamlit_app import names
from streamlit_app.view import (
    NONE,
    TALKING_MS,
    Level,
    ago,
    clock,
    duration_ms,
    isolated,
    level_of,
    quiet_ms,
    tone,
)

STALE_AFTER_S: Final = 5.0
BEHIND_AFTER_MS: Final = 10_000
STORE_FULL_PCT: Final = 80.0
_FRESH_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure of the strip above the table."""

    label: str
    value: str
    note: str
    name: str = ""


def waiting(snapshot: Snapshot) -> int:
    """Return how many events are on their way to the board."""
    return sum(snapshot.health.lag.values()) + snapshot.health.outbox


def oldest(snapshot: Snapshot) -> tuple[int, str]:
    """Return how many ms the oldest event has waited, and for which source; none is 0."""
    now_ms, written = snapshot.taken_at_ms, snapshot.health.oldest_at_ms
    waits = [(now_ms - at_ms, source) for source, at_ms in written.items()]
    return max(waits, default=(0, ""))


def behind(snapshot: Snapshot) -> str:
    """Return how far the board is behind, in words; nothing below 10 s."""
    age_ms, source = oldest(snapshot)
    if age_ms < BEHIND_AFTER_MS:
        return ""
    return f"the oldest of {waiting(snapshot):,} waiting is {ago(age_ms)} old ({source})"


def _live_kpi(live: list[CallRow], now_ms: int) -> Kpi:
    talking = sum(row.utterances > 0 and quiet_ms(row, now_ms) < TALKING_MS for row in live)
    return Kpi("Live calls", str(len(live)), f"{talking} talking, {len(live) - talking} quiet")


def _help_kpi(live: list[CallRow]) -> Kpi:
    levels = [level_of(row) for row in live]
    needing, watched = levels.count(Level.HELP), levels.count(Level.WATCH)
    return Kpi("Needing help", str(needing), f"{watched} to watch", "neg2" if needing else "")


def _mean_kpi(live: list[CallRow]) -> Kpi:
    scores = [row.polarity for row in live if row.polarity is not None]
    mean = tone(fmean(scores) if scores else None)
    value = f"{mean.glyph} {mean.number}".strip()
    return Kpi("Mean sentiment", value, f"{mean.words}, {len(scores)} scored", mean.name)


def _longest_kpi(live: list[CallRow], now_ms: int) -> Kpi:
    if not live:
        return Kpi("Longest call", NONE, "no live call")
    longest = max(live, key=lambda row: duration_ms(row, now_ms))
    named = names.of_calls({row.call: row.line or row.call for row in live})[longest.call]
    agent = names.short(row.agent for row in live)[longest.agent]
    note = " · ".join(isolated(part) for part in (named.label, named.hint, agent) if part)
    return Kpi("Longest call", clock(duration_ms(longest, now_ms)), note)


def _event_kpi(snapshot: Snapshot) -> Kpi:
    age_ms, source = oldest(snapshot)
    note = f"{waiting(snapshot):,} waiting" + (f", oldest {ago(age_ms)}" if source else "")
    if snapshot.newest_at_ms is None:
        return Kpi("Newest event", NONE, note)
    age_ms = snapshot.taken_at_ms - snapshot.newest_at_ms
    value = "just now" if age_ms < _FRESH_MS else f"{ago(age_ms)} ago"
    return Kpi("Newest event", value, note)


def kpis(snapshot: Snapshot) -> tuple[Kpi, ...]:
    """Return the figures above the table."""
    live = [row for row in snapshot.rows if row.ended_at_ms is None]
    now_ms = snapshot.taken_at_ms
    return (
        _live_kpi(live, now_ms),
        _help_kpi(live),
        _mean_kpi(live),
        _longest_kpi(live, now_ms),
        _event_kpi(snapshot),
    )


def warnings(snapshot: Snapshot, stuck_s: float) -> tuple[str, ...]:
    """Return what makes the whole board doubtful, in words; beside its own age.

    *stuck_s* is how long events wait while none arrives.
    """
    found, health, late = [], snapshot.health, behind(snapshot)
    if late:
        found.append(f"Behind: {late}: the board shows the past.")
    if stuck_s >= STALE_AFTER_S:
        words = (
            f"Stale: {waiting(snapshot):,} events wait and none arrived for {ago(1000 * stuck_s)}."
        )
        found.append(words)
    if not health.decoders and any(row.ended_at_ms is None for row in snapshot.rows):
        found.append("No decoder is alive: live calls are not heard.")
    if health.store_used_pct >= STORE_FULL_PCT:
        found.append(f"The store is {health.store_used_pct:.0f} % full: new calls are refused.")
    return tuple(found)
