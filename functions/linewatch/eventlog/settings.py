"""Where the event log is, and how to be let in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linewatch.settings import REDIS_URL, addresses, file, number, one_of, setting, url

_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Which event log, and how to be let in: the same in every role that reads or writes it."""

    kafka_brokers: tuple[str, ...] = setting(
        "KAFKA_BROKERS", addresses, "", "Kafka's addresses; none = the log in Redis"
    )
    kafka_ca: str = setting(
        "SSL_CERT_PATH", file, "", "PEM of the authority that signed the brokers'; set = TLS"
    )
    kafka_cert: str = setting("KAFKA_CLIENT_CERT", file, "", "PEM of our own certificate")
    kafka_key: str = setting("KAFKA_CLIENT_KEY", file, "", "PEM of our certificate's key")
    kafka_mechanism: str = setting(
        "KAFKA_SASL_MECHANISM", one_of("", *_MECHANISMS), "", "how we log in; none = we do not"
    )
    kafka_username: str = setting("KAFKA_USERNAME", str, "", "the name we log in by")
    kafka_password: str = setting("KAFKA_PASSWORD", str, "", "the password we log in by")
    kafka_connect_s: float = setting(
        "KAFKA_CONNECT_S", number(0.1, 600), "10", "how long it may take to let us in"
    )
    # gunicorn gives up a worker that does not start within a minute.
    kafka_topics_s: float = setting(
        "KAFKA_TOPICS_S", number(0, 45), "40", "how long a start waits for Kafka and its topics"
    )


@dataclass(frozen=True, slots=True)
class LogSettings(KafkaSettings):
    """Where the event log is."""

    redis_url: str = setting(
        "REDIS_URL",
        url("redis", "rediss", "unix"),
        REDIS_URL,
        "the event log without KAFKA_BROKERS, and what the dashboard is shown",
    )
