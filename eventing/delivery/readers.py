"""Which log is read, and by which readers a source of it is delivered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventing.delivery.kafka_reader import KafkaReader
from eventing.delivery.redis_reader import RedisReader, tracks
from eventing.delivery.workers import DeliveryWorkers
from linewatch.eventlog.choice import choose
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.protocol import EventLog, Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings


class Reader(Protocol):
    """Reads a source, or a part of it, and delivers until it is stopped."""

    @property
    def in_hand(self) -> int:
        """How many entries are being delivered."""
        ...

    @property
    def is_reading(self) -> bool:
        """Whether it reads: it does not wait for the log."""
        ...

    def start(self) -> None:
        """Begin on a thread of its own."""
        ...

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended."""
        ...


ReadersOf = Callable[[DeliveryWorkers, Group, threading.Event], Sequence[Reader]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """*log*, and what makes the readers of one source of it."""

    log: EventLog
    readers_of: ReadersOf


def open_delivery(settings: LogSettings) -> Delivery:
    """Return the log that *settings* name, with its readers.

    Raises:
        SettingsError: the settings cannot be used.
    """
    return choose(settings, _kafka, _redis)


def _kafka(log: KafkaLog) -> Delivery:
    def readers_of(
        workers: DeliveryWorkers, group: Group, stopping: threading.Event
    ) -> list[KafkaReader]:
        return [KafkaReader(workers, lambda owner: log.join(group, owner), stopping)]

    return Delivery(log, readers_of)


def _redis(log: RedisLog) -> Delivery:
    def readers_of(
        workers: DeliveryWorkers, group: Group, stopping: threading.Event
    ) -> list[RedisReader]:
        return [
            RedisReader(workers, track, log, consumer=group.consumer, stopping=stopping)
            for track in tracks(workers.source)
        ]

    return Delivery(log, readers_of)
