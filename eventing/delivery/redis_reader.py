"""The Redis reader: reads all partitions of one source, and settles entry by entry.

It has up to 50 deliveries under way, in any order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from eventing.delivery.deliverer import IN_FLIGHT
from eventing.delivery.workers import DeliveryWorkers
from linewatch.errors import Unavailable
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis import CLAIM_IDLE_MS, RedisLog
from linewatch.events import PARTITIONS

log = logging.getLogger(__name__)

_UPKEEP_S: Final = 1.0
_BACKOFF_S: Final = 0.5


class RedisReader:
    """Reads one source and delivers, until stopped."""

    def __init__(
        self,
        workers: DeliveryWorkers,
        event_log: RedisLog,
        *,
        consumer: str,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        idle_ms: int = CLAIM_IDLE_MS,
        upkeep_s: float = _UPKEEP_S,
    ) -> None:
        source = workers.source
        self._name = source.name
        self._workers = workers
        self._log = event_log
        self._group = Group(source.topic, source.group, consumer)
        self._stopping = stopping
        self._clock = clock
        self._idle_ms = idle_ms
        self._upkeep_s = upkeep_s
        self._upkeep_at = 0.0
        self._away = False
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._room = threading.Condition()
        self._in_hand: set[tuple[int, int]] = set()
        self._reader = threading.Thread(target=self._run, name=self._name, daemon=True)

    @property
    def in_hand(self) -> int:
        """How many entries were read and are not settled."""
        return len(self._in_hand)

    @property
    def is_reading(self) -> bool:
        """Whether it reads, or waits for the log to come back."""
        return not self._away

    def start(self) -> None:
        """Begin to read on a thread of its own."""
        self._reader.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the reader has seen that it is stopped."""
        self._reader.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._recover()
                self._tell(away=False)
                while not self._stopping.is_set():
                    self._turn()
            except Unavailable as error:
                self._tell(away=True, why=error.detail)
                self._stopping.wait(_BACKOFF_S)

    def _tell(self, *, away: bool, why: str = "goes on") -> None:
        """Say once that the log went away, and once that it is back."""
        if away != self._away:
            log.warning("%s: %s", self._name, why)
            self._away = away

    def _recover(self) -> None:
        """Deliver first what this consumer read before a crash."""
        self._log.ensure(self._group)
        self._take(self._log.pending(self._group))

    def _turn(self) -> None:
        if self._clock() >= self._upkeep_at:
            self._upkeep_at = self._clock() + self._upkeep_s
            self._keep_up()
        free = self._wait_for_room()
        if free > 0:
            each = max(1, free // PARTITIONS)
            wait_s = max(0.01, self._upkeep_at - self._clock())
            self._take(self._log.read(self._group, count=each, wait_s=wait_s))

    def _keep_up(self) -> None:
        self._touch()
        if self.in_hand < IN_FLIGHT:
            self._take(self._log.claim(self._group, idle_ms=self._idle_ms))

    def _touch(self) -> None:
        with self._room:
            in_hand = tuple(self._in_hand)
        self._log.touch(self._group, in_hand)

    def _wait_for_room(self) -> int:
        with self._room:
            if len(self._in_hand) >= IN_FLIGHT:
                self._room.wait(max(0.0, self._upkeep_at - self._clock()))
            return IN_FLIGHT - len(self._in_hand)

    def _take(self, entries: list[Entry]) -> None:
        """Start to deliver *entries*, each as soon as a slot is free."""
        waiting = deque(entry for entry in entries if entry.place not in self._in_hand)
        with self._room:
            self._in_hand.update(entry.place for entry in waiting)
        try:
            while waiting and not self._stopping.is_set():
                if self._slots.acquire(timeout=self._upkeep_s):
                    self._workers.take(waiting.popleft(), self._settled, self._released)
                else:
                    self._touch()
        finally:
            self._let_go(waiting)

    def _let_go(self, entries: Iterable[Entry]) -> None:
        with self._room:
            self._in_hand.difference_update(entry.place for entry in entries)
            self._room.notify_all()

    def _settled(self, entry: Entry) -> None:
        self._log.acknowledge(self._group, entry)

    def _released(self, entry: Entry) -> None:
        self._slots.release()
        self._let_go([entry])
