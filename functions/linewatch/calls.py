"""The values Linewatch speaks of. No I/O, no clock, no randomness.

Times inside a call are milliseconds of audio since the call's first sample;
points in time are milliseconds since 1970 (UTC) and end in ``_at_ms``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from linewatch.errors import CHANNEL_RULE, BadName
from linewatch.names import checked_call, checked_name, encoded

_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


class Channel(str):
    """Who is heard on a channel: a small letter, then up to 31 of ``a-z 0-9 -``.

    ``mixed`` is a mono source with customer and agent on it. Further parties take names of
    their own (``agent-2``, ``supervisor``, ``ivr``) and count as agent side.

    Raises:
        ValueError: it may not be the name of a channel.
    """

    __slots__ = ()
    AGENT: ClassVar[Channel]
    CUSTOMER: ClassVar[Channel]
    MIXED: ClassVar[Channel]

    def __new__(cls, name: str) -> Self:
        """Check *name*."""
        if not _CHANNEL.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no channel: {CHANNEL_RULE}")
        return super().__new__(cls, name)

    def __deepcopy__(self, _: object) -> Self:
        """Return this: it cannot change."""
        return self

    @property
    def has_customer(self) -> bool:
        """Whether the customer is heard here."""
        return self in {Channel.CUSTOMER, Channel.MIXED}


Channel.AGENT = Channel("agent")
Channel.CUSTOMER = Channel("customer")
Channel.MIXED = Channel("mixed")


class GapReason(StrEnum):
    """Why a piece of a call was not heard."""

    LOST = "lost"
    PAUSED = "paused"
    DISCARDED = "discarded"
    OVERRUN = "overrun"
    UNDECODABLE = "undecodable"
    #: Nothing came, and nothing is missing: silence suppression, a leg that was not there.
    SILENT = "silent"


class EndReason(StrEnum):
    """Why a call ended."""

    HANGUP = "hangup"
    ABANDONED = "abandoned"


class Codec(StrEnum):
    """How the samples of a chunk are written."""

    L16 = "L16"
    S16LE = "S16LE"
    PCMU = "PCMU"
    PCMA = "PCMA"

    @property
    def sample_bytes(self) -> int:
        """Bytes one sample takes."""
        return 1 if self in {Codec.PCMU, Codec.PCMA} else 2


def checked_channel(name: object) -> Channel:
    """Return the channel of that *name*.

    Raises:
        BadName: it may not be the name of a channel.
    """
    try:
        return Channel(name if isinstance(name, str) else "")
    except ValueError:
        raise BadName("channel", name) from None


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """One channel of one call of one tenant: what a session belongs to."""

    tenant: str
    call: str
    channel: Channel

    @classmethod
    def of(cls, tenant: object, call: object, channel: object) -> ChannelKey:
        """Check the three names.

        Raises:
            BadName: one of them may not be used.
        """
        names = checked_name("tenant", tenant), checked_call(call)
        return cls(*names, checked_channel(channel))

    @property
    def source(self) -> str:
        """The CloudEvents ``source`` of everything this channel produces."""
        return f"{call_source(self.tenant, self.call)}/channels/{self.channel}"


def call_source(tenant: str, call: str) -> str:
    """Return the CloudEvents ``source`` of what concerns the whole call."""
    return f"/tenants/{tenant}/calls/{encoded(call)}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A numbered piece of a channel's audio.

    ``position`` is the number of samples the sender had before this chunk,
    ``stream`` names one run of the sender.
    """

    seq: int
    position: int
    stream: str
    codec: Codec
    rate_hz: int
    audio: bytes

    @property
    def samples(self) -> int:
        """How many samples the chunk holds."""
        return len(self.audio) // self.codec.sample_bytes

    @property
    def end_position(self) -> int:
        """The position of the first sample after the chunk."""
        return self.position + self.samples


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps ``from_seq`` to ``next_seq`` - 1 were never heard; audio goes on at ``position``."""

    from_seq: int
    next_seq: int
    position: int
    stream: str
    reason: GapReason


@dataclass(frozen=True, slots=True)
class End:
    """The channel's last step."""

    seq: int
    stream: str
    reason: EndReason = EndReason.HANGUP


@dataclass(frozen=True, slots=True)
class Resume:
    """The channel goes on at *position* after *away_ms* in which nothing came.

    The decoder puts it before the step that it goes on with; it has no number of its own: *seq*
    is that step's.
    """

    seq: int
    position: int
    stream: str
    away_ms: int
    reason: GapReason = GapReason.SILENT


Step = Chunk | Gap | End | Resume


def span(step: Step) -> tuple[int, int]:
    """Return the first number that *step* stands for, and the one after its last."""
    if isinstance(step, Gap):
        return step.from_seq, step.next_seq
    return step.seq, step.seq + (not isinstance(step, Resume))


def first_seq(step: Step) -> int:
    """Return the step's number; a gap's is that of the first step it stands for."""
    return span(step)[0]


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; confidence is 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A final hypothesis: what one speaker said between two edges.

    ``first_sample`` identifies it for ever; ``index`` only counts and starts
    again where Redis lost its data. ``digest`` names the model and everything
    else that the words depend on.
    """

    key: ChannelKey
    started_at_ms: int
    index: int
    first_sample: int
    start_ms: int
    end_ms: int
    text: str
    words: tuple[Word, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A stretch of a channel that was not heard, as ``call.gap`` tells it."""

    key: ChannelKey
    started_at_ms: int
    first_sample: int
    start_ms: int
    end_ms: int
    reason: GapReason


@dataclass(frozen=True, slots=True)
class Score:
    """What one scorer makes of one utterance.

    ``polarity`` is -1 to 1, ``subjectivity`` 0 to 1. ``consumer`` names who scored it: the
    sentiment function, a notebook. ``scorer_version`` orders that consumer's scores of one
    utterance, the highest is the newest; ``scorer`` says in words what it is made of.
    """

    key: ChannelKey
    started_at_ms: int
    index: int
    first_sample: int
    start_ms: int
    end_ms: int
    text: str
    polarity: float
    subjectivity: float
    nouns: tuple[str, ...]
    consumer: str
    scorer: str
    scorer_version: int = 1
    digest: str = ""


@dataclass(frozen=True, slots=True)
class CallStart:
    """What is known of a call when it begins.

    ``clock_off_ms`` is by how much the sender's clock was ahead of ours, where that was so far
    that its start was not believed.
    """

    tenant: str
    call: str
    line: str
    started_at_ms: int
    agent: str = ""
    queue: str = ""
    direction: str = "inbound"
    clock_off_ms: int = 0


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """What was learned of a call after it began, or changed; what is empty says nothing."""

    tenant: str
    call: str
    at_ms: int
    line: str = ""
    agent: str = ""
    queue: str = ""
    direction: str = ""
    channels: tuple[Channel, ...] = ()

    @property
    def words(self) -> dict[str, str]:
        """What is said, by field; several channels stand in one text."""
        texts = {name: getattr(self, name) for name in ("line", "agent", "queue", "direction")}
        texts["channels"] = ",".join(sorted(self.channels))
        return {name: text for name, text in texts.items() if text}


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended and what was counted over all its channels.

    *generation* is how often the call had come back before; see `CallResumed`.
    """

    tenant: str
    call: str
    started_at_ms: int
    ended_at_ms: int
    reason: EndReason
    chunks: int
    utterances: int
    gaps: int
    generation: int = 0


@dataclass(frozen=True, slots=True)
class CallResumed:
    """A call came back after it was given up: it lives unless an end of *generation* is known."""

    tenant: str
    call: str
    started_at_ms: int
    resumed_at_ms: int
    generation: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Names one utterance: its channel and first sample."""

    channel: Channel
    first_sample: int


class Severity(StrEnum):
    """How soon somebody should look."""

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule that one call met, once. ``at_ms`` is the call time it first held."""

    tenant: str
    call: str
    rule: str
    severity: Severity
    reason: str
    at_ms: int
    started_at_ms: int
    evidence: tuple[Evidence, ...] = ()
