"""What the page shows, as plain values: the board goes in, words and numbers come out.

No Streamlit and no HTML here. Every colour is a name that ``board.css`` knows and
never stands alone: a glyph and words say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final

from linewatch.board.rows import AlertRow, CallRow, Snapshot
from linewatch.calls import Channel, Severity
from linewatch.events import at
from streamlit_app import names

WATCH_FROM: Final = 35.0
HELP_FROM: Final = 60.0
#: Below this a call counts as talking: utterances end that far apart.
TALKING_MS: Final = 10_000
LONG_QUIET_MS: Final = 30_000
SPARK_POINTS: Final = 15
SPARK_WIDTH, SPARK_HEIGHT = 72, 18
#: Polarities beyond it touch the edge: few calls ever pass it, and the rest stays readable.
SPARK_RANGE: Final = 0.75
NONE: Final = "–"  # noqa: RUF001 - the dash of a table
_MINUS: Final = "−"  # noqa: RUF001 - as wide as the plus sign


class Level(StrEnum):
    """How much a call needs somebody."""

    HELP = "help"
    WATCH = "watch"
    FINE = "fine"


class Sort(StrEnum):
    """What the table is ordered by."""

    WORST = "worst"
    LINE = "line"
    WHO = "agent"
    TIME = "time"
    QUIET = "quiet"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class Tone:
    """A polarity in four signals: *number*, *glyph*, *words* and *name*, its colour."""

    number: str
    glyph: str
    words: str
    name: str


@dataclass(frozen=True, slots=True)
class Filters:
    """What the viewer wants to see; *chosen* is the call whose detail is open."""

    text: str = ""
    level: str = "any"
    state: str = "live"
    sort: Sort = Sort.WORST
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class RowView:
    """One line of the table, ready to print.

    In a table *line*, *agent* and *queue* are cut where they are long and *hint* is what tells
    its call from others of the same line; *whole_line* and *whole_agent* are not cut.
    """

    call: str
    line: str
    agent: str
    queue: str
    level: Level
    why: str
    duration: str
    quiet: str
    is_quiet: bool
    tone: Tone
    spark: str
    trend_words: str
    last_text: str
    last_channel: str
    last_side: str
    nouns: str
    consumer: str
    ended: bool
    chosen: bool
    whole_line: str
    whole_agent: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert of the queue, ready to print; *line* and *hint* as in a table's `RowView`."""

    call: str
    rule: str
    line: str
    glyph: str
    severity: Severity
    reason: str
    age: str
    ended: bool
    chosen: bool
    whole_line: str
    hint: str = ""


_TONES: Final = (
    (-0.5, "▼▼", "very negative", "neg2"),
    (-0.1, "▼", "negative", "neg1"),
    (0.1, "■", "neutral", "mid"),
    (0.5, "▲", "positive", "pos1"),
)
_BEST: Final = ("▲▲", "very positive", "pos2")
_SEVERITY_GLYPHS: Final[Mapping[Severity, str]] = {
    Severity.CRITICAL: "!!",
    Severity.WARNING: "!",
    Severity.NOTICE: "i",
}
_WHO: Final[Mapping[str, str]] = {
    "agent": "Agent",
    "customer": "Customer",
    "mixed": "Caller and agent",
    "ivr": "IVR",
    "": "",
}
_DRAWN: Final = frozenset({"agent", "customer", "mixed", ""})
_URGENCY: Final = (Severity.CRITICAL, Severity.WARNING, Severity.NOTICE)


def clock(ms: float) -> str:
    """Return a duration as ``mm:ss``, from an hour on as ``h:mm:ss``."""
    seconds = max(0, int(ms // 1000))
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def ago(ms: float) -> str:
    """Return an age in the unit a person would say it in."""
    seconds = max(0, int(ms // 1000))
    if seconds < 2 * 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 2 * 3600 else f"{seconds // 3600} h"


def counted(count: int, noun: str) -> str:
    """Return *count* with its noun in the right number."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def time_of_day(at_ms: int, zone: tzinfo) -> str:
    """Return a point in time as the viewer's wall clock shows it."""
    moment: datetime = at(at_ms).astimezone(zone)
    return f"{moment:%H:%M:%S}"


def number(polarity: float) -> str:
    """Return a polarity with its sign; what rounds to nothing has none."""
    rounded = round(polarity, 2)
    if rounded == 0:
        return "0.00"
    return f"+{rounded:.2f}" if rounded > 0 else f"{_MINUS}{-rounded:.2f}"


def tone(polarity: float | None) -> Tone:
    """Return how *polarity* is shown; none yet is a dash, and 0 is a score like any other."""
    if polarity is None:
        return Tone(NONE, "", "not scored yet", "none")
    for below, glyph, words, name in _TONES:
        if polarity < below:
            return Tone(number(polarity), glyph, words, name)
    return Tone(number(polarity), *_BEST)


def level_of(row: CallRow) -> Level:
    """Return the row's level; nobody can help a call that ended."""
    if row.ended_at_ms is not None or row.help_score < WATCH_FROM:
        return Level.FINE
    return Level.HELP if row.help_score >= HELP_FROM else Level.WATCH


def quiet_ms(row: CallRow, now_ms: int) -> int:
    """Return how long a live call has had no finished words, whatever its sender's clock says."""
    if row.ended_at_ms is not None:
        return 0
    return max(0, now_ms - row.late_ms - row.started_at_ms - row.last_end_ms)


def duration_ms(row: CallRow, now_ms: int) -> int:
    """Return how long the call lasts, or lasted."""
    return (now_ms if row.ended_at_ms is None else row.ended_at_ms) - row.started_at_ms


def height_of(polarity: float, height: float) -> float:
    """Return where *polarity* stands on a drawing *height* pixels high; 0 is the middle."""
    clamped = max(-SPARK_RANGE, min(SPARK_RANGE, polarity))
    return round((1 - clamped / SPARK_RANGE) * (height / 2 - 1) + 1, 1)


def spark(trend: tuple[float, ...]) -> str:
    """Return the points of an SVG polyline over the trend's last values; none for no values."""
    last = trend[-SPARK_POINTS:]
    if len(last) == 1:
        last = last * 2
    step = (SPARK_WIDTH - 4) / max(1, len(last) - 1)
    return " ".join(
        f"{round(2 + place * step, 1):g},{height_of(value, SPARK_HEIGHT):g}"
        for place, value in enumerate(last)
    )


def trend_words(trend: tuple[float, ...]) -> str:
    """Return what the sparkline says to those who cannot see it."""
    last = trend[-SPARK_POINTS:]
    if not last:
        return "no trend yet"
    return f"from {tone(last[0]).words} to {tone(last[-1]).words}"


def _quiet_words(row: CallRow, now_ms: int) -> str:
    if row.ended_at_ms is not None:
        return NONE
    quiet = quiet_ms(row, now_ms)
    return "now" if row.utterances and quiet < TALKING_MS else clock(quiet)


def row_view(row: CallRow, now_ms: int, chosen: str) -> RowView:
    """Return one line of the table at *now_ms*."""
    trend = row.customer_trend or row.agent_trend
    return RowView(
        call=row.call,
        line=row.line or row.call,
        agent=row.agent or NONE,
        queue=row.queue,
        level=level_of(row),
        why=row.why,
        duration=clock(duration_ms(row, now_ms)),
        quiet=_quiet_words(row, now_ms),
        is_quiet=quiet_ms(row, now_ms) >= LONG_QUIET_MS,
        tone=tone(row.polarity),
        spark=spark(trend),
        trend_words=trend_words(trend),
        last_text=row.last_text,
        last_channel=str(row.last_channel or ""),
        last_side=side(row.last_channel or ""),
        nouns=", ".join(row.nouns),
        consumer=row.consumer or NONE,
        ended=row.ended_at_ms is not None,
        chosen=row.call == chosen,
        whole_line=row.line or row.call,
        whole_agent=" · ".join(map(isolated, filter(None, (row.agent or NONE, row.queue)))),
    )


def _matches(row: CallRow, filters: Filters) -> bool:
    if filters.state != "both" and (row.ended_at_ms is not None) != (filters.state == "ended"):
        return False
    wanted = {"help": (Level.HELP,), "watch": (Level.HELP, Level.WATCH)}.get(filters.level)
    if wanted and level_of(row) not in wanted:
        return False
    spoken = (row.line, row.call, row.agent, row.queue, row.why, row.last_text, *row.nouns)
    return filters.text.casefold().strip() in " ".join(spoken).casefold()


def _worst(row: CallRow) -> tuple[bool, float, int, str]:
    return (row.ended_at_ms is not None, -row.help_score, row.started_at_ms, row.call)


_ORDERS: Final[Mapping[Sort, Callable[[CallRow, int], tuple[object, ...]]]] = {
    Sort.WORST: lambda row, _: _worst(row),
    Sort.LINE: lambda row, _: (row.line, row.call),
    Sort.WHO: lambda row, _: (row.queue.casefold(), row.agent.casefold(), row.call),
    Sort.TIME: lambda row, now_ms: (-duration_ms(row, now_ms), row.call),
    Sort.QUIET: lambda row, now_ms: (-quiet_ms(row, now_ms), row.call),
    Sort.QUALITY: lambda row, _: (row.polarity is None, row.polarity or 0.0, row.call),
}


def table(snapshot: Snapshot, filters: Filters) -> tuple[RowView, ...]:
    """Return the lines the viewer asked for, in the order asked for."""
    now_ms, order = snapshot.taken_at_ms, _ORDERS[filters.sort]
    rows = sorted(
        (row for row in snapshot.rows if _matches(row, filters)),
        key=lambda row: order(row, now_ms),
    )
    return _told_apart(row_view(row, now_ms, filters.chosen) for row in rows)


def _told_apart(rows: Iterable[RowView]) -> tuple[RowView, ...]:
    """Cut long labels so that no two of *rows* look alike."""
    views = tuple(rows)
    named = names.of_calls({each.call: each.line for each in views})
    agents = names.short(each.agent for each in views)
    queues = names.short(each.queue for each in views)
    return tuple(
        replace(
            each,
            line=named[each.call].label,
            hint=named[each.call].hint,
            agent=agents[each.agent],
            queue=queues[each.queue],
        )
        for each in views
    )


def alert_view(alert: AlertRow, now_ms: int, ended: bool, chosen: str) -> AlertView:  # noqa: FBT001 - a fact
    """Return one alert at *now_ms*."""
    return AlertView(
        call=alert.call,
        rule=alert.rule,
        line=alert.line or alert.call,
        glyph=_SEVERITY_GLYPHS[alert.severity],
        severity=alert.severity,
        reason=alert.reason,
        age=ago(now_ms - alert.raised_at_ms),
        ended=ended,
        chosen=alert.call == chosen,
        whole_line=alert.line or alert.call,
    )


def alert_queue(snapshot: Snapshot, chosen: str) -> tuple[AlertView, ...]:
    """Return the alerts, live calls first, then the most severe, then who waits longest."""
    live = {row.call for row in snapshot.rows if row.ended_at_ms is None}
    queue = sorted(
        snapshot.alerts,
        key=lambda each: (each.call not in live, _URGENCY.index(each.severity), each.raised_at_ms),
    )
    now_ms = snapshot.taken_at_ms
    views = [alert_view(each, now_ms, each.call not in live, chosen) for each in queue]
    named = names.of_calls({each.call: each.line for each in views})
    return tuple(
        replace(each, line=named[each.call].label, hint=named[each.call].hint) for each in views
    )


def channel_name(channel: Channel | str) -> str:
    """Return who speaks, as the page says it; a further party by its own name."""
    known = _WHO.get(channel)
    return channel.replace("-", " ").capitalize() if known is None else known


def isolated(text: str) -> str:
    """Return *text* so that its direction does not reach what stands around it, without markup."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}" if text else text


def side(channel: Channel | str) -> str:
    """Return how ``board.css`` draws *channel*: a further party may have any name."""
    return channel if channel in _DRAWN else "further"
