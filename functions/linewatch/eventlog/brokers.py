"""Kafka: how its brokers let us in, and the writing of records to it."""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.net.compat import KafkaNetClient

from linewatch.errors import (
    BadEvent,
    LinewatchError,
    NotFound,
    SettingsError,
    TooLarge,
    Unavailable,
)
from linewatch.events import Record
from linewatch.settings import KafkaSettings

log = logging.getLogger(__name__)

#: A record with its headers; Kafka's own default.
MOST_BYTES: Final = 1024 * 1024
#: How long Kafka may take to acknowledge what was sent.
_ACKNOWLEDGE_S: Final = 5.0
_AGAIN_S = 0.5
_DROP_S = 1.0
_METADATA_MS = 2_000
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
_MISSING_S = 5.0
C = TypeVar("C")


class _Causes(logging.Handler):
    """Remembers why Kafka's client lost a connection: it tells its log, but not its caller."""

    _LOST = re.compile(r"Connection (?:lost|failed): (?:KafkaConnectionError: )?(.*)", re.DOTALL)

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first cause that is one: the next attempts say less."""
        found = self._LOST.search(record.getMessage())
        if found and found[1] != "socket disconnected" and not self._first:
            self._first = " ".join(found[1].split())[:200]

    def take(self) -> str:
        """Return the cause, and begin anew."""
        first, self._first = self._first, ""
        return first

    def listen(self) -> None:
        """Take the client's log over: an outage would fill ours with one line a reconnect."""
        theirs = logging.getLogger("kafka")
        theirs.propagate = False
        theirs.setLevel(logging.ERROR)
        if self not in theirs.handlers:
            theirs.addHandler(self)


_CAUSES: Final = _Causes()


class Brokers:
    """Kafka's addresses and how it lets us in: makes every client."""

    def __init__(self, told: KafkaSettings) -> None:
        self._told = told
        self._patience_s = told.kafka_connect_s
        self._topics_s = told.kafka_topics_s
        self._options: dict[str, Any] = {
            "bootstrap_servers": list(told.kafka_brokers),
            "security_protocol": _protocol(told),
            # Kafka is back a second after its broker is, not half a minute.
            "reconnect_backoff_max_ms": 1_000,
        }
        if told.kafka_ca:
            self._options["ssl_context"] = _tls(told)
        if told.kafka_mechanism:
            self._options |= {
                "sasl_mechanism": told.kafka_mechanism,
                "sasl_plain_username": told.kafka_username,
                "sasl_plain_password": told.kafka_password,
            }
        _CAUSES.listen()

    def connect(
        self, kind: Callable[..., C], within_s: float | None = None, **options: object
    ) -> C:
        """Return a client of *kind* that has met a broker.

        Raises:
            Unavailable: no broker let it in; says why.
        """
        made: list[KafkaNetClient] = []

        def network(**config: object) -> KafkaNetClient:
            made.append(KafkaNetClient(**config))
            return made[-1]

        _CAUSES.take()
        try:
            within_ms = int((self._patience_s if within_s is None else within_s) * 1000)
            return kind(
                **self._options,
                kafka_client=network,
                bootstrap_timeout_ms=within_ms,
                **options,
            )
        except (KafkaTimeoutError, OSError) as error:
            # A client that does not come to be leaves its thread and its sockets behind.
            for each in made:
                each.close()
            why = _CAUSES.take() or "no answer, or it hangs up"
            where = ",".join(self._told.kafka_brokers)
            raise Unavailable(f"Kafka at {where} does not let us in: {why}") from error

    def check(self, topics: Iterable[str] = ()) -> None:
        """Return once a broker lets us in and has *topics*; both are waited for.

        Where everything starts at once they may still be on their way, and Knative 1.15 was seen
        to leave a revision unready whose first container ended by an error.

        Raises:
            SettingsError: it does not in KAFKA_TOPICS_S; settings are wrong or Kafka is away.
        """
        wanted = frozenset(topics)
        deadline_s = time.monotonic() + self._topics_s
        lack = self._lack(wanted, self._patience_s)
        if lack and self._topics_s:
            log.warning("waits for Kafka, %.0f s in all: %s", self._topics_s, lack)
        while lack and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(_AGAIN_S, left_s))
            lack = self._lack(wanted, min(self._patience_s, max(left_s, _AGAIN_S)))
        if lack:
            raise SettingsError(lack)

    def _lack(self, wanted: frozenset[str], within_s: float) -> str:
        """Return what to do about Kafka or its topics; empty where nothing lacks."""
        try:
            missing = sorted(wanted - self.topics(within_s))
        except Unavailable as error:
            return (
                f"{error.detail} (KAFKA_BROKERS, SSL_CERT_PATH, KAFKA_CLIENT_CERT, "
                "KAFKA_SASL_MECHANISM, KAFKA_USERNAME, KAFKA_PASSWORD)"
            )
        named = ", ".join(missing)
        return f"Kafka has no topic {named}: run `python -m eventing.topics`" if missing else ""

    def topics(self, within_s: float | None = None) -> frozenset[str]:
        """Return the names of all topics.

        Raises:
            Unavailable: no broker told.
        """
        told_ms = int(self._patience_s * 1000)
        admin = self.connect(KafkaAdminClient, within_s, request_timeout_ms=told_ms)
        try:
            return frozenset(admin.list_topics())
        except KafkaError as error:
            raise Unavailable(f"Kafka does not tell its topics: {type(error).__name__}") from error
        finally:
            admin.close()


def _protocol(told: KafkaSettings) -> str:
    if told.kafka_cert and not told.kafka_ca:
        raise SettingsError("KAFKA_CLIENT_CERT is used with TLS only: set SSL_CERT_PATH")
    if bool(told.kafka_mechanism) != bool(told.kafka_username and told.kafka_password):
        raise SettingsError(
            "KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD go together: set all or none"
        )
    transport = "SSL" if told.kafka_ca else "PLAINTEXT"
    return f"SASL_{transport}" if told.kafka_mechanism else transport


def _tls(told: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=told.kafka_ca)
        if told.kafka_cert:
            context.load_cert_chain(told.kafka_cert, told.kafka_key or None)
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        raise SettingsError(
            f"SSL_CERT_PATH, KAFKA_CLIENT_CERT or KAFKA_CLIENT_KEY is no usable PEM: {error}"
        ) from None
    return context


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
