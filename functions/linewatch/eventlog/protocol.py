"""What an event log does, whichever it is."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from linewatch.eventlog.record import Entry
from linewatch.events import Record

#: How long topics hold their records, dead letters too.
KEPT_S: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group that reads *topic*, and the name *consumer* of one of its members."""

    topic: str
    name: str
    consumer: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The *topic* of what could not be delivered, and the *group* that replays it."""

    topic: str
    group: str


class LogWriter(Protocol):
    """Where records go: the local event log, or Kafka."""

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* in their order; return once the log acknowledged them all.

        Raises:
            Unavailable: the log did not acknowledge; any of them may have been written.
            LinewatchError: of any other kind: the log refuses one of them for good;
                each of the others may have been written.
        """
        ...


class Member(Protocol):
    """One member of a consumer group; it is used by one thread.

    Every method raises `Unavailable` while the log is away: close it then, and join again.
    """

    def poll(self, wait_s: float) -> list[Entry]:
        """Return what is new for this member, waiting up to *wait_s* for it."""
        ...

    def settle(self, entry: Entry) -> None:
        """Note that the group is done with *entry*; entries come in the order of `poll`."""
        ...

    def close(self) -> None:
        """Leave the group; what is not settled is another's."""
        ...


class EventLog(Protocol):
    """Topics of records. Every method raises `Unavailable` while the log is away."""

    #: Whether nothing but `lags` drops what every group has settled: then somebody must ask it.
    is_trimmed_by_lags: bool

    def check(self, topics: Iterable[str]) -> None:
        """Return once the log lets us in and has *topics*.

        Raises:
            SettingsError: it does not, in the time that the settings give it.
        """
        ...

    def member(self, group: Group) -> Member:
        """Join *group* and return what it gives this member to read."""
        ...

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* to their topics; another error than `Unavailable` is a refusal."""
        ...

    def ping(self) -> None:
        """Return if the log answers."""
        ...

    def lags(self, topic: str, groups: Sequence[str]) -> tuple[int, ...]:
        """Return how many entries of *topic* each of *groups* has not settled."""
        ...

    def dead(self, letters: DeadLetters) -> int:
        """Return how many of *letters* were not replayed."""
        ...

    def letters(self, letters: DeadLetters) -> list[Entry]:
        """Return those of *letters* that were not replayed, oldest first."""
        ...

    def replayed(self, letters: DeadLetters, letter: Entry) -> None:
        """Note that *letter* was replayed; letters come in the order of `letters`."""
        ...

    def settled(self, topic: str, group: str) -> Mapping[int, int]:
        """Return, by partition, the offset below which *group* settled everything."""
        ...

    def settle(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Let *group*, of which nobody is a member, have settled everything below *offsets*."""
        ...

    def since(self, topic: str, time_ms: int) -> Mapping[int, int]:
        """Return, by partition, the first offset written at *time_ms* or later."""
        ...

    def kept_since_ms(self, topic: str) -> int:
        """Return from when on *topic* is sure to hold every record that was written."""
        ...

    def between(
        self, topic: str, begin: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> Generator[Entry]:
        """Yield the entries from *begin* on and below *end*, or what is the end now."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
