"""The writing of records to Kafka."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from linewatch.errors import BadEvent, LinewatchError, NotFound, TooLarge, Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.events import Record

#: A record with its headers; Kafka's own default.
MOST_BYTES: Final = 1024 * 1024
#: How long Kafka may take to acknowledge what was sent.
_ACKNOWLEDGE_S: Final = 5.0
_AGAIN_S: Final = 0.5
_DROP_S: Final = 1.0
_METADATA_MS: Final = 2_000
# Chosen by `make bench BENCHES=bench_kafka`. Lingering makes a record alone wait (5 ms: 7.8
# against 2.6 ms) and drains no faster: with one request in flight, what comes meanwhile is the
# next batch. gzip costs 104 us a record against 140 without: the client's checksum over what is
# sent is Python, the compression is not. A batch holds what the relay reads at a time.
CHOSEN: Final[Mapping[str, object]] = {
    "linger_ms": 0,
    "batch_size": 65_536,
    "compression_type": "gzip",
    "max_in_flight_requests_per_connection": 1,
}
_MISSING_S: Final = 5.0


class _Refused(Exception):
    """A broker refused a record of the batch for good."""

    def __init__(self, why: LinewatchError) -> None:
        super().__init__()
        self.why = why


class KafkaLogWriter:
    """Writes to Kafka: idempotent, acknowledged by all replicas in sync, in order a call.

    The partition is the one Kafka's own partitioner gives the key (the call's id), as
    a KafkaSink or any other client would: one call, one partition, however many there are.
    """

    def __init__(
        self,
        brokers: Brokers,
        wait_s: float = _ACKNOWLEDGE_S,
        clock: Callable[[], float] = time.monotonic,
        **options: object,
    ) -> None:
        self._brokers = brokers
        self._wait_s = wait_s
        self._clock = clock
        self._options = {**CHOSEN, **options}
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._again_at = 0.0
        self._missing: dict[str, float] = {}

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records*; return once Kafka acknowledged them all.

        Raises:
            Unavailable: it did not; what was not written yet never will be.
            LinewatchError: of any other kind: Kafka refuses one of the records for good.
        """
        if not records:
            return
        try:
            self._publish(self._connected(), records)
        except _Refused as refused:
            # The client fails whatever else it holds by the same error, also another thread's.
            if len(records) > 1:
                raise refused.why from refused
            self._publish_alone(records)

    def _publish_alone(self, records: Sequence[Record]) -> None:
        producer = self._made()
        try:
            self._publish(producer, records)
        except _Refused as refused:
            raise refused.why from refused
        finally:
            _drop(producer)

    def _publish(self, producer: KafkaProducer, records: Sequence[Record]) -> None:
        deadline_s = self._clock() + self._wait_s
        try:
            sent = [self._send(producer, record) for record in records]
            for future in sent:
                future.get(timeout=max(0.0, deadline_s - self._clock()))
        except (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError) as error:
            self._discard(producer)
            raise _Refused(BadEvent(f"Kafka refuses the record: {error.message}")) from error
        except (KafkaError, RuntimeError) as error:
            # Else what it still holds would be written after what we send next.
            self._discard(producer)
            raise Unavailable(f"Kafka is away: {type(error).__name__}") from error

    def _send(self, producer: KafkaProducer, record: Record) -> Any:  # noqa: ANN401 - kafka-python has no types
        if self._missing.get(record.topic, 0.0) > self._clock():
            raise NotFound(f"Kafka has no topic {record.topic}")
        try:
            return producer.send(
                record.topic,
                key=record.key.encode() or None,
                value=record.value,
                headers=list(record.headers.items()),
            )
        except MessageSizeTooLargeError as error:
            raise TooLarge(f"Kafka takes records of {MOST_BYTES} bytes at most") from error
        except KafkaTimeoutError:
            # The client waits for a topic alike whether it is missing or the broker is.
            if record.topic in self._brokers.topics():
                raise
            self._missing[record.topic] = self._clock() + _MISSING_S
            raise NotFound(f"Kafka has no topic {record.topic}") from None
        except (TypeError, ValueError) as error:
            raise BadEvent(f"Kafka cannot hold the record: {error}") from error

    def _connected(self) -> KafkaProducer:
        if not self._lock.acquire(timeout=self._wait_s):
            raise Unavailable("Kafka is away: another writer waits for it")
        try:
            if self._producer is None:
                if self._clock() < self._again_at:
                    raise Unavailable("Kafka is away")
                self._producer = self._made()
            return self._producer
        finally:
            self._lock.release()

    def _made(self) -> KafkaProducer:
        try:
            return self._brokers.connect(
                KafkaProducer,
                self._wait_s,
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                max_request_size=MOST_BYTES,
                max_block_ms=_METADATA_MS,
                **self._options,
            )
        except Unavailable:
            self._again_at = self._clock() + _AGAIN_S
            raise

    def _discard(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        _drop(producer)

    def close(self) -> None:
        """Give the connections back; what is not acknowledged by now is dropped."""
        if self._producer is not None:
            self._discard(self._producer)


def _drop(producer: KafkaProducer) -> None:
    # Its public `close` waits for what it holds, and lives on if that cannot be sent.
    producer._sender.force_close()  # noqa: SLF001 - there is no other way
    with contextlib.suppress(KafkaError):
        producer.close(timeout=_DROP_S)
