"""What the store answers: claims, receipts, owners, pods. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import Any, Final

from linewatch.calls import ChannelKey, EndReason, Step, Utterance
from linewatch.decoder.recognition.session import Checkpoint
from linewatch.decoder.recognition.timeline import Origin, Timeline
from linewatch.errors import BadName

#: The states of a channel in its call's hash; any other is why it ended.
AWAITED: Final = "awaited"
OPEN: Final = "open"


class Claimed(StrEnum):
    """What became of a claim; an abandoned call may come back, a closed one may not."""

    CLOSED = "closed"
    ABANDONED = "abandoned"
    ABSENT = "absent"
    OWNED = "owned"
    SUSPECT = "suspect"
    NEWER = "newer"
    CREATED = "created"
    ADOPTED = "adopted"


class Committed(StrEnum):
    """What became of a step."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    GAP = "gap"
    POSITION = "position"
    REPLACED = "replaced"
    ENDED = "ended"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Owner:
    """The living pod that owns a session, and the epoch it does so in."""

    pod: str
    epoch: int
    address: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as Redis holds it; its owner changed *moves* times.

    *rate_hz* is what the channel began with. Nothing came for *away_ms*, as its claim found out;
    it may be *parked* since: then its words were told and its tail is empty.
    """

    epoch: int
    stream: str
    next_seq: int
    next_position: int
    rate_hz: int
    started_at_ms: int
    attempts: int
    moves: int
    ended: str
    checkpoint: Checkpoint
    parked: bool = False
    paused: bool = False
    away_ms: int = 0

    @property
    def timeline(self) -> Timeline:
        """The call's times as the sender counts its samples now."""
        return Timeline(self.rate_hz, self.checkpoint.origin)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A call that was given up: it came back *generation* times before."""

    started_at_ms: int
    generation: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: *stored* and *tail* if it is ours now, *owner* if another's.

    *abandoned* tells of a call that was given up and may come back.
    """

    state: Claimed
    stored: Stored | None = None
    tail: tuple[Step, ...] = ()
    owner: Owner | None = None
    abandoned: Abandoned | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a commit; *before* is the store's ``next_seq`` until then."""

    state: Committed
    next_seq: int
    next_position: int
    before: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A living decoder, as its lease tells."""

    pod: str
    address: str
    sessions: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """How full the store is: 0 to 1 of Redis' memory, and records in the outbox.

    *policy* is what Redis does once its memory is full; "" where it does not say.
    """

    memory: float
    outbox: int
    policy: str = ""


def stored_of(fields: Mapping[str, str]) -> Stored | None:
    """Read a session's fields; none if there is no session."""
    if "epoch" not in fields:
        return None
    edge = ("first_sample", "edge_sample", "edges", "index")
    numbers = ("epoch", "next_seq", "next_position", "rate_hz", "started_at_ms", "attempts")
    return Stored(
        **{name: int(fields[name]) for name in numbers},
        moves=int(fields.get("moves", 0)),
        stream=fields["stream"],
        ended=fields["ended"],
        checkpoint=Checkpoint(**{name: int(fields[name]) for name in edge}, origin=_origin(fields)),
        parked=fields.get("parked") == "1",
        paused=fields.get("paused") == "1",
        away_ms=int(fields.get("away_ms", 0)),
    )


def _known(tenant: str, call: str, channel: str) -> ChannelKey | None:
    try:
        return ChannelKey.of(tenant, call, channel)
    except BadName:
        return None


def _origin(fields: Mapping[str, str]) -> Origin:
    position, sample, ms, rate_hz = map(int, (fields.get("origin") or "0 0 0 0").split())
    return Origin(position, sample, ms, rate_hz)


def origin_text(origin: Origin) -> str:
    """Return *origin* as a session holds it; empty where the sender counts from the beginning."""
    return "" if origin == Origin() else " ".join(map(str, astuple(origin)))


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the store knows of a call: the *states* of its channels, whether it is *closed*.

    A call with a channel that only newer code knows *is_foreign*: newer code closes it.
    """

    states: Mapping[ChannelKey, str]
    started_at_ms: int | None
    generation: int
    closed: bool
    is_foreign: bool = False

    @classmethod
    def of(cls, tenant: str, call: str, fields: Mapping[str, str]) -> CallFacts:
        """Read the fields of a call's hash."""
        names = {n.removeprefix("ch:"): state for n, state in fields.items() if n.startswith("ch:")}
        states = {key: state for n, state in names.items() if (key := _known(tenant, call, n))}
        started_at_ms = fields.get("started_at_ms")
        return cls(
            states,
            None if started_at_ms is None else int(started_at_ms),
            int(fields.get("generation", 0)),
            "closed" in fields,
            is_foreign=len(states) < len(names),
        )

    @property
    def begun(self) -> dict[ChannelKey, str]:
        """The channels that were heard, or ended unheard, and their states."""
        return {key: state for key, state in self.states.items() if state != AWAITED}

    @property
    def reason(self) -> EndReason:
        """Why the call ended: one abandoned channel makes it an abandoned one."""
        return EndReason(min(self.begun.values(), default=EndReason.ABANDONED))

    @property
    def waits(self) -> bool:
        """Whether a channel is open, or announced and may still come."""
        return bool({AWAITED, OPEN}.intersection(self.states.values()))


def final_of(utterance: Utterance) -> dict[str, Any]:
    """Return a final hypothesis as replies show it."""
    shown = asdict(utterance)
    for inner in ("key", "started_at_ms", "digest"):
        del shown[inner]
    return shown
