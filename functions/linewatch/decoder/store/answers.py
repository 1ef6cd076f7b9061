"""What the store answers: claims, receipts, owners, pods. Values only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from linewatch.calls import ChannelKey, Step, Utterance
from linewatch.decoder.recognition.session import Checkpoint


class Claimed(StrEnum):
    """What became of a claim."""

    CLOSED = "closed"
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
    """A session as Redis holds it; its owner changed *moves* times."""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: *stored* and *tail* if it is ours now, *owner* if another's."""

    state: Claimed
    stored: Stored | None = None
    tail: tuple[Step, ...] = ()
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a commit; *before* is the store's ``next_seq`` until then."""

    state: Committed
    next_seq: int
    next_position: int
    before: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A channel that got no step for a while."""

    idle_s: float
    paused: bool
    ended: bool


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
        checkpoint=Checkpoint(*(int(fields[name]) for name in edge)),
    )


def ended_of(
    tenant: str, call: str, facts: Mapping[str, str], given_up: Collection[ChannelKey]
) -> dict[ChannelKey, str] | None:
    """Return why each channel of a call ended that was begun; none if it may not be closed."""
    states = {
        ChannelKey.of(tenant, call, name.removeprefix("ch:")): state
        for name, state in facts.items()
        if name.startswith("ch:")
    }
    awaited = {key for key, state in states.items() if state == "awaited"}
    waits = "open" in states.values() or not awaited.issubset(given_up)
    if waits or not states or "closed" in facts:
        return None
    return {key: state for key, state in states.items() if key not in awaited}


def waiting_of(
    session: Sequence[bytes | str | None], call: Sequence[bytes | str | None], idle_s: float
) -> Waiting | None:
    """Read how a channel waits: *session* is paused and ended, *call* closed, state and refused.

    One that was announced and never sent waits as a paused one does, unless it was refused: who
    was tries again soon, or never.
    """
    paused, ended = session
    closed, state, refused = call
    if paused is not None:
        return Waiting(idle_s, paused == b"1", bool(ended))
    if closed or state != b"awaited":
        return None
    return Waiting(idle_s, paused=not refused, ended=True)


def final_of(utterance: Utterance) -> dict[str, Any]:
    """Return a final hypothesis as replies show it."""
    shown = asdict(utterance)
    for inner in ("key", "started_at_ms", "digest"):
        del shown[inner]
    return shown
