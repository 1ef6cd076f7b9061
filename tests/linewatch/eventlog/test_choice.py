"""Holds the choice of the event log to the settings."""

from __future__ import annotations

import pytest

from linewatch.errors import SettingsError
from linewatch.eventlog import choice
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.redis import RedisLog
from linewatch.settings import load


def _told(**env):
    return load(choice.LogSettings, env)


def test_brokers_mean_kafka():
    """With brokers set the log is Kafka, and nothing is connected before it is used."""
    found = choice.open_log(_told(KAFKA_BROKERS="127.0.0.1:1,127.0.0.1:2"))
    assert isinstance(found, KafkaLog)
    found.close()


def test_no_brokers_mean_redis():
    """Without brokers the log is in Redis."""
    found = choice.open_log(_told())
    assert isinstance(found, RedisLog)
    found.close()


@pytest.mark.parametrize("brokers", ["kafka", "kafka:port", ":9092", "kafka:9092,other"])
def test_wrong_brokers_are_told(brokers):
    """An address without host or port is refused with the form it needs."""
    with pytest.raises(SettingsError, match="use host:port, comma-separated"):
        _told(KAFKA_BROKERS=brokers)


def test_unfit_settings_are_told():
    """Settings that do not go together are refused as the log is chosen."""
    with pytest.raises(SettingsError, match="go together"):
        choice.open_log(_told(KAFKA_BROKERS="127.0.0.1:1", KAFKA_SASL_MECHANISM="PLAIN"))
