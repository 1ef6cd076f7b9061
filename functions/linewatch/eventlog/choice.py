"""The event log, whichever it is: Kafka where brokers are set, else streams in Redis."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventing.topology import Source
from linewatch import settings
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis import RedisLog
from linewatch.events import Record
from linewatch.settings import KafkaSettings, setting


@dataclass(frozen=True, slots=True)
class LogSettings(KafkaSettings):
    """Where the event log is."""

    redis_url: str = setting(
        "REDIS_URL",
        settings.url("redis", "rediss", "unix"),
        settings.REDIS_URL,
        "the event log without KAFKA_BROKERS, and what the dashboard is shown",
    )


class Log(Protocol):
    """What both logs do. Every method raises `Unavailable` while the log is away."""

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* to their topics; another error than `Unavailable` is a refusal."""
        ...

    def ping(self) -> None:
        """Return if the log answers."""
        ...

    def lags(self, topic: str, groups: Sequence[str]) -> tuple[int, ...]:
        """Return how many entries of *topic* each of *groups* has not settled."""
        ...

    def dead(self, source: Source) -> int:
        """Return how many dead letters of *source* were not replayed."""
        ...

    def letters(self, source: Source) -> list[Entry]:
        """Return the dead letters of *source* that were not replayed, oldest first."""
        ...

    def replayed(self, source: Source, letter: Entry) -> None:
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


def at(told: LogSettings, wait_s: float | None = None) -> KafkaLog | RedisLog:
    """Return the log that *told* names; *wait_s* is the longest wait for its answer.

    Raises:
        SettingsError: the settings cannot be used.
    """
    if told.kafka_brokers:
        return KafkaLog(Brokers(told)) if wait_s is None else KafkaLog(Brokers(told), wait_s)
    return RedisLog.at(told.redis_url) if wait_s is None else RedisLog.at(told.redis_url, wait_s)
