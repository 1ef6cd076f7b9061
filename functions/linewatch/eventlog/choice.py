"""The event log, whichever it is: Kafka where brokers are set, else streams in Redis."""

from __future__ import annotations

from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings


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
