"""Which log is read, and by which reader a source of it is delivered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from eventing.delivery.kafka_reader import KafkaReader
from eventing.delivery.redis_reader import RedisReader
from eventing.delivery.workers import DeliveryWorkers
from linewatch.eventlog.choice import choose
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.protocol import EventLog, Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings


class Reader(Protocol):
    """Reads a source and delivers until it is stopped."""

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


MakeReader = Callable[[DeliveryWorkers, Group, threading.Event], Reader]


@dataclass(frozen=True, slots=True)
class Delivery:
    """*log*, and what makes the reader of one source of it."""

    log: EventLog
    make_reader: MakeReader


def open_delivery(settings: LogSettings) -> Delivery:
    """Return the log that *settings* name, with what makes its readers.

    Raises:
        SettingsError: the settings cannot be used.
    """
    return choose(settings, _kafka, _redis)


def _kafka(log: KafkaLog) -> Delivery:
    def make_reader(
        workers: DeliveryWorkers, group: Group, stopping: threading.Event
    ) -> KafkaReader:
        return KafkaReader(workers, lambda owner: log.join(group, owner), stopping)

    return Delivery(log, make_reader)


def _redis(log: RedisLog) -> Delivery:
    def make_reader(
        workers: DeliveryWorkers, group: Group, stopping: threading.Event
    ) -> RedisReader:
        return RedisReader(workers, log, consumer=group.consumer, stopping=stopping)

    return Delivery(log, make_reader)
