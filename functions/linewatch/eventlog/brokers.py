"""Kafka's brokers: how they let us in, and whether they have the topics."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient

from linewatch.errors import SettingsError, Unavailable
from linewatch.eventlog.settings import KafkaSettings

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.5
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

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._patience_s = settings.kafka_connect_s
        self._topics_s = settings.kafka_topics_s
        self._options: dict[str, Any] = {
            "bootstrap_servers": list(settings.kafka_brokers),
            "security_protocol": _protocol(settings),
            # Kafka is back a second after its broker is, not half a minute.
            "reconnect_backoff_max_ms": 1_000,
        }
        if settings.kafka_ca:
            self._options["ssl_context"] = _tls(settings)
        if settings.kafka_mechanism:
            self._options |= {
                "sasl_mechanism": settings.kafka_mechanism,
                "sasl_plain_username": settings.kafka_username,
                "sasl_plain_password": settings.kafka_password,
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
            where = ",".join(self._settings.kafka_brokers)
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
            Unavailable: no broker answered.
        """
        answer_ms = int(self._patience_s * 1000)
        admin = self.connect(KafkaAdminClient, within_s, request_timeout_ms=answer_ms)
        try:
            return frozenset(admin.list_topics())
        except KafkaError as error:
            raise Unavailable(f"Kafka does not tell its topics: {type(error).__name__}") from error
        finally:
            admin.close()


def _protocol(settings: KafkaSettings) -> str:
    if settings.kafka_cert and not settings.kafka_ca:
        raise SettingsError("KAFKA_CLIENT_CERT is used with TLS only: set SSL_CERT_PATH")
    if bool(settings.kafka_mechanism) != bool(settings.kafka_username and settings.kafka_password):
        raise SettingsError(
            "KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD go together: set all or none"
        )
    transport = "SSL" if settings.kafka_ca else "PLAINTEXT"
    return f"SASL_{transport}" if settings.kafka_mechanism else transport


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        if settings.kafka_cert:
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key or None)
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        raise SettingsError(
            f"SSL_CERT_PATH, KAFKA_CLIENT_CERT or KAFKA_CLIENT_KEY cannot be used as PEM: {error}"
        ) from None
    return context
