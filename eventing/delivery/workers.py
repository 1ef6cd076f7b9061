"""The workers of a source: deliver entries, each on a thread of its own, and settle them.

The reader decides what is read from which log, and settles an entry that is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from eventing.delivery import kafkasource_request
from eventing.delivery.deliverer import Deliverer, Stopped
from eventing.metrics import DispatcherMeters, Outcome
from eventing.topology import Source
from linewatch.errors import LinewatchError, NotFound, Unavailable
from linewatch.eventlog.protocol import LogWriter
from linewatch.eventlog.record import Entry
from linewatch.events import Record

log = logging.getLogger(__name__)

_BACKOFF_S: Final = 0.5


class DeliveryWorkers:
    """Settles the entries of one source: delivered, or put into its dead letters."""

    def __init__(
        self,
        source: Source,
        deliverer: Deliverer,
        writer: LogWriter,
        stopping: threading.Event,
        meters: DispatcherMeters,
    ) -> None:
        self.source = source
        self._deliverer = deliverer
        self._writer = writer
        self._stopping = stopping
        self._meters = meters
        self._lock = threading.Lock()
        self._written_at_ms: dict[tuple[int, int], int] = {}

    @property
    def oldest_at_ms(self) -> int | None:
        """When the oldest entry that is being delivered was written, by the log's clock.

        Entries are taken in the order of their partition, so none that waits is much older.
        """
        with self._lock:
            return min(self._written_at_ms.values(), default=None)

    def take(
        self, entry: Entry, settled: Callable[[Entry], None], released: Callable[[Entry], None]
    ) -> None:
        """Begin to deliver *entry*.

        *settled* is called once it was delivered or is a dead letter, and again while it
        raises `Unavailable`; *released* is called at the end, whatever became of it.
        """
        with self._lock:
            self._written_at_ms[entry.place] = entry.written_at_ms
        args = (entry, settled, released)
        threading.Thread(target=self._settle, args=args, daemon=True).start()

    def _settle(
        self, entry: Entry, settled: Callable[[Entry], None], released: Callable[[Entry], None]
    ) -> None:
        try:
            letter = self._deliver(entry)
            if letter is not None:
                self._insist(lambda: self._put_away(letter))
            self._insist(lambda: settled(entry))
        except Stopped:
            log.info("%s: an entry is left for the next start", self.source.name)
        finally:
            with self._lock:
                self._written_at_ms.pop(entry.place, None)
            released(entry)

    def _deliver(self, entry: Entry) -> Record | None:
        """Return the dead letter of an entry that could not be delivered."""
        if not entry.fields:
            return None
        event, key = kafkasource_request.event_of(self.source, entry)
        begun_s = time.monotonic()
        failure = self._deliverer.deliver(event)
        self._meters.took(self.source.name, time.monotonic() - begun_s)
        if failure is None:
            self._meters.count(self.source.name, Outcome.DELIVERED)
            return None
        self._meters.count(self.source.name, Outcome.DEAD)
        log.warning(
            "%s: dead letter, %s answered %s",
            self.source.name,
            self.source.service,
            failure.status or "not at all",
        )
        return kafkasource_request.dead_letter(self.source, event, key, failure)

    def _put_away(self, letter: Record) -> None:
        try:
            self._writer.publish([letter])
        except Unavailable:
            raise
        except NotFound as error:
            # The topic can be made, the event cannot.
            log.error("%s: a dead letter waits: %s", self.source.name, error.detail)  # noqa: TRY400 - no trace: it says all
            raise Unavailable(error.detail) from error
        except LinewatchError as error:
            # With its reason it is larger than the log takes: where it lies is kept at least.
            log.error("%s: a dead letter without its body: %s", self.source.name, error.detail)  # noqa: TRY400 - no trace: it says all
            self._writer.publish([Record(letter.topic, letter.key, letter.headers, b"")])

    def _insist(self, act: Callable[[], None]) -> None:
        """Repeat *act* until the log is back: an entry is settled once and for all."""
        while True:
            try:
                return act()
            except Unavailable:
                if self._stopping.wait(_BACKOFF_S):
                    raise Stopped from None
