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
        "KAFKA_BROKERS",
        addresses,
        "",
        "Kafka's addresses, host:port, comma-separated; empty = the event log is in Redis",
    )
    kafka_ca: str = setting(
        "SSL_CERT_PATH",
        file,
        "",
        "PEM file of the authority that signed the brokers' certificates; set = TLS",
    )
    kafka_cert: str = setting("KAFKA_CLIENT_CERT", file, "", "PEM file of the client's certificate")
    kafka_key: str = setting("KAFKA_CLIENT_KEY", file, "", "PEM file of the certificate's key")
    kafka_mechanism: str = setting(
        "KAFKA_SASL_MECHANISM", one_of("", *_MECHANISMS), "", "SASL mechanism; empty = no log-in"
    )
    kafka_username: str = setting("KAFKA_USERNAME", str, "", "SASL user name")
    kafka_password: str = setting("KAFKA_PASSWORD", str, "", "SASL password")
    kafka_connect_s: float = setting(
        "KAFKA_CONNECT_S", number(0.1, 600), "10", "seconds that connecting to Kafka may take"
    )
    # gunicorn gives up a worker that does not start within a minute.
    kafka_topics_s: float = setting(
        "KAFKA_TOPICS_S", number(0, 45), "40", "seconds that a start waits for Kafka and its topics"
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
