"""The event log, whichever it is: Kafka where brokers are set, else streams in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.kafka_writer import KafkaLogWriter
from linewatch.eventlog.protocol import EventLog, LogWriter
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import RedisLogWriter
from linewatch.eventlog.settings import KafkaSettings, LogSettings

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")


def choose(
    settings: LogSettings,
    kafka: Callable[[KafkaLog], T],
    redis: Callable[[RedisLog], T],
    wait_s: float | None = None,
) -> T:
    """Return what *kafka* or *redis* makes of the log that *settings* name.

    *wait_s* is the longest wait for the log's answer.

    Raises:
        SettingsError: the settings cannot be used.
    """
    if settings.kafka_brokers:
        brokers = Brokers(settings)
        return kafka(KafkaLog(brokers) if wait_s is None else KafkaLog(brokers, wait_s))
    where = settings.redis_url
    return redis(RedisLog.at(where) if wait_s is None else RedisLog.at(where, wait_s))


def open_log(settings: LogSettings, wait_s: float | None = None) -> EventLog:
    """Return the log that *settings* name; *wait_s* is the longest wait for its answer.

    Raises:
        SettingsError: the settings cannot be used.
    """
    return choose(settings, _as_it_is, _as_it_is, wait_s)


def _as_it_is(log: EventLog) -> EventLog:
    return log


def open_writer(settings: KafkaSettings, client: Redis, topics: Iterable[str]) -> LogWriter:
    """Return what writes to Kafka where brokers are set, else to the log in Redis of *client*.

    Raises:
        SettingsError: no broker lets us in, or one of *topics* is missing.
    """
    if not settings.kafka_brokers:
        return RedisLogWriter(client)
    brokers = Brokers(settings)
    brokers.check(topics)
    return KafkaLogWriter(brokers)
