"""The values the board shows: rows, alerts, one call's detail, the pipeline's health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from linewatch.calls import Channel, GapReason, Severity


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as a line of the board.

    ``help_score`` is 0 (fine) to 100 (help now) and decides the order; *why* says it in words.
    Polarities are -1 to 1, oldest first; a call not scored yet has none. ``agents_before`` had the
    call before *agent*, the last of them first. ``clock_off_ms`` is by how much the sender's clock
    was ahead, where it was so far that its start was not believed; ``late_ms`` how far what was
    heard of the call lay behind the board's clock at the least, which is no silence.
    """

    tenant: str
    call: str
    line: str
    agent: str
    queue: str
    started_at_ms: int
    ended_at_ms: int | None
    help_score: float
    why: str
    polarity: float | None
    customer_trend: tuple[float, ...]
    agent_trend: tuple[float, ...]
    last_text: str
    last_channel: Channel | None
    last_end_ms: int
    nouns: tuple[str, ...]
    consumer: str
    talk_ms: Mapping[Channel, int]
    longest_silence_ms: int
    utterances: int
    gaps: int
    rules: tuple[str, ...]
    agents_before: tuple[str, ...] = ()
    clock_off_ms: int = 0
    late_ms: int = 0


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert in the queue: one per call and rule. ``raised_at_ms`` is a point in time."""

    tenant: str
    call: str
    line: str
    rule: str
    severity: Severity
    reason: str
    raised_at_ms: int


@dataclass(frozen=True, slots=True)
class Said:
    """One scored utterance of the transcript; polarity is none until it was scored."""

    channel: Channel
    first_sample: int
    start_ms: int
    end_ms: int
    text: str
    polarity: float | None
    nouns: tuple[str, ...] = ()
    consumer: str = ""
    scorer_version: int = 0


@dataclass(frozen=True, slots=True)
class Unheard:
    """One gap of the transcript."""

    channel: Channel
    start_ms: int
    end_ms: int
    reason: GapReason


@dataclass(frozen=True, slots=True)
class CallDetail:
    """Everything about one call; *partials* are the words being spoken now.

    *others* are the scores of other consumers and older versions, which *row* and *said* leave out.
    """

    row: CallRow
    said: tuple[Said, ...]
    unheard: tuple[Unheard, ...]
    alerts: tuple[AlertRow, ...]
    partials: Mapping[Channel, str]
    others: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class DecoderHealth:
    """One decoder pod: sessions it owns, and what it did since it started."""

    pod: str
    sessions: int
    capacity: int
    chunks: int
    forwards: int
    adoptions: int
    undecodable: int


@dataclass(frozen=True, slots=True)
class FunctionHealth:
    """One function that scales to zero."""

    name: str
    replicas: int
    cold_starts: int


@dataclass(frozen=True, slots=True)
class Health:
    """The pipeline: what runs, what waits. ``lag`` and ``dead_letters`` count events by source.

    ``oldest_at_ms`` tells when the oldest event that waits was written, by source and for the
    outbox; where nothing waits there is none.
    """

    decoders: tuple[DecoderHealth, ...] = ()
    functions: tuple[FunctionHealth, ...] = ()
    lag: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    outbox: int = 0
    store_used_pct: float = 0.0
    oldest_at_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole board at one moment.

    ``taken_at_ms`` is Redis' clock; ``newest_at_ms`` when the board last took an event.
    ``unreadable`` names the calls, and as ``call|rule`` the alerts, that newer code wrote.
    """

    taken_at_ms: int
    newest_at_ms: int | None
    rows: tuple[CallRow, ...]
    alerts: tuple[AlertRow, ...]
    health: Health
    unreadable: tuple[str, ...] = ()
