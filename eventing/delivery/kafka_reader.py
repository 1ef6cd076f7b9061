"""The Kafka reader: reads one source as a member of its consumer group.

It has up to 50 deliveries under way, in any order. The thread that polls never waits
for a delivery, so a slow function costs no membership.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from eventing.delivery.deliverer import IN_FLIGHT
from eventing.delivery.ledger import Ledger
from eventing.delivery.workers import DeliveryWorkers
from linewatch.errors import Unavailable
from linewatch.eventlog.kafka_member import Membership, PartitionOwner
from linewatch.eventlog.record import Entry

log = logging.getLogger(__name__)

_COMMIT_S: Final = 1.0
_POLL_S: Final = 0.25
_FULL_S: Final = 0.05
_BACKOFF_S: Final = 0.5
#: Entries that may wait; more are not fetched.
_WAITING: Final = 50


class KafkaReader:
    """Reads one source and delivers, until stopped."""

    def __init__(
        self,
        workers: DeliveryWorkers,
        join_group: Callable[[PartitionOwner], Membership],
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        commit_s: float = _COMMIT_S,
    ) -> None:
        self._workers = workers
        self._name = workers.source.name
        self._join_group = join_group
        self._stopping = stopping
        self._leaving = threading.Event()
        self._clock = clock
        self._commit_s = commit_s
        self._commit_at = 0.0
        self._lock = threading.Lock()
        self._ledgers: dict[int, Ledger] = {}
        self._waiting: deque[Entry] = deque()
        self._delivering: set[tuple[int, int]] = set()
        self._busy = 0
        self._why_away: str | None = None
        self._reader = threading.Thread(target=self._run, name=self._name, daemon=True)

    @property
    def in_hand(self) -> int:
        """How many entries are being delivered."""
        return self._busy

    @property
    def is_reading(self) -> bool:
        """Whether it is a member of its group, or waits for Kafka."""
        return self._why_away == ""

    def start(self) -> None:
        """Begin to read on a thread of its own."""
        self._reader.start()

    def join(self, timeout_s: float) -> None:
        """Wait until what is settled is committed and the group is left."""
        self._leaving.set()
        self._reader.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_on(self._join_group(self))
            except Unavailable as error:
                self._tell(error.detail)
                self._stopping.wait(_BACKOFF_S)

    def _read_on(self, membership: Membership) -> None:
        try:
            while not self._stopping.is_set():
                self._turn(membership)
                self._tell()
            while self.in_hand and not self._leaving.is_set():
                self._commit(membership)
                self._leaving.wait(_FULL_S)
        finally:
            membership.close(self._due())
            self.revoke(tuple(self._ledgers))

    def _tell(self, why_away: str = "") -> None:
        """Say once that the log went away, and once that it is back."""
        if bool(why_away) != bool(self._why_away):
            log.warning("%s: %s", self._name, why_away or "goes on")
        self._why_away = why_away

    def _turn(self, membership: Membership) -> None:
        self._commit(membership)
        if membership.pause(self._full()):
            self._take(membership.poll(_POLL_S))
        else:
            # Not until there is room: a poll costs more than a delivery.
            self._stopping.wait(_FULL_S)
            self._take(membership.poll(0))

    def _commit(self, membership: Membership) -> None:
        if self._clock() >= self._commit_at:
            self._commit_at = self._clock() + self._commit_s
            membership.commit(self._due())

    def _due(self) -> Mapping[int, int]:
        with self._lock:
            return _due(self._ledgers)

    def _full(self) -> tuple[int, ...]:
        """Return the partitions not to fetch from: all of them while enough entries wait."""
        with self._lock:
            return tuple(self._ledgers) if len(self._waiting) >= _WAITING else ()

    def _take(self, entries: Iterable[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._ledgers.setdefault(entry.partition, Ledger()).take(entry.offset)
                # After a rebalance we may be given again what we are still delivering.
                if entry.place not in self._delivering:
                    self._waiting.append(entry)
            self._begin()

    def _begin(self) -> None:
        while self._waiting and self._busy < IN_FLIGHT and not self._stopping.is_set():
            entry = self._waiting.popleft()
            self._busy += 1
            self._delivering.add(entry.place)
            self._workers.take(entry, self._settled, self._released)

    def _settled(self, entry: Entry) -> None:
        with self._lock:
            if entry.partition in self._ledgers:
                self._ledgers[entry.partition].settle(entry.offset)
            # Together with the ledger: if it is assigned again now, it must be delivered again.
            self._delivering.discard(entry.place)

    def _released(self, _: Entry) -> None:
        with self._lock:
            self._busy -= 1
            self._begin()

    def revoke(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """Forget *partitions*, that are another's from now on; return the offsets to commit."""
        gone = frozenset(partitions)
        with self._lock:
            ledgers = {each: self._ledgers.pop(each) for each in gone if each in self._ledgers}
            self._waiting = deque(each for each in self._waiting if each.partition not in gone)
            return _due(ledgers)

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note that Kafka keeps *offsets* by partition."""
        with self._lock:
            for partition, offset in offsets.items():
                if partition in self._ledgers:
                    self._ledgers[partition].commit(offset)


def _due(ledgers: Mapping[int, Ledger]) -> Mapping[int, int]:
    due = {partition: ledger.due for partition, ledger in ledgers.items()}
    return {partition: offset for partition, offset in due.items() if offset is not None}
