"""The event log, whichever it is: Kafka where brokers are set, else streams in Redis."""

from __future__ import annotations

from dataclasses import dataclass

from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.redis import RedisLog
from linewatch.settings import REDIS_URL, KafkaSettings, setting, url


@dataclass(frozen=True, slots=True)
class LogSettings(KafkaSettings):
    """Where the event log is."""

    redis_url: str = setting(
        "REDIS_URL",
        url("redis", "rediss", "unix"),
        REDIS_URL,
        "the event log without KAFKA_BROKERS, and what the dashboard is shown",
    )


def open_log(settings: LogSettings, wait_s: float | None = None) -> EventLog:
    """Return the log that *settings* name; *wait_s* is the longest wait for its answer.

    Raises:
        SettingsError: the settings cannot be used.
    """
    if settings.kafka_brokers:
        brokers = Brokers(settings)
        return KafkaLog(brokers) if wait_s is None else KafkaLog(brokers, wait_s)
    where = settings.redis_url
    return RedisLog.at(where) if wait_s is None else RedisLog.at(where, wait_s)
