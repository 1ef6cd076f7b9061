"""Holds the choice of the event log to the settings."""

from __future__ import annotations

import pytest

from linewatch import keys
from linewatch.errors import SettingsError
from linewatch.eventlog import choice
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from linewatch.eventlog.settings import KafkaSettings, LogSettings
from linewatch.events import Record
from linewatch.settings import load
from tests.eventing.subscriber import record
from tests.support.kafka_broker import unique


def _settings(**env):
    return load(LogSettings, env)


def test_brokers_mean_kafka():
    """With brokers set the log is Kafka, and nothing is connected before it is used."""
    found = choice.open_log(_settings(KAFKA_BROKERS="127.0.0.1:1,127.0.0.1:2"))
    assert isinstance(found, KafkaLog)
    found.close()


def test_no_brokers_mean_redis():
    """Without brokers the log is in Redis."""
    found = choice.open_log(_settings())
    assert isinstance(found, RedisLog)
    found.close()


def test_writer_needs_its_topics(kafka):
    """A writer to Kafka is refused while one of its topics is missing, and says which."""
    settings = load(KafkaSettings, kafka.env)
    topic = unique("calls")
    kafka.make_topics(topic)
    choice.open_writer(settings, None, [topic]).close()
    with pytest.raises(SettingsError, match="has no topic nowhere"):
        choice.open_writer(settings, None, [topic, "nowhere"])


def test_writer_without_brokers_is_redis(redis_url):
    """Without brokers a writer writes to the streams of the client that it is given."""
    made = record(unique("call"))
    with connect(redis_url) as client:
        choice.open_writer(load(KafkaSettings, {}), client, ["anything"]).publish([made])
        found = client.xrange(keys.log("utterances", made.partition))
    assert Record.of_fields(found[-1][1]) == made


@pytest.mark.parametrize("brokers", ["kafka", "kafka:port", ":9092", "kafka:9092,other"])
def test_wrong_brokers_are_settings(brokers):
    """An address without host or port is refused with the form it needs."""
    with pytest.raises(SettingsError, match="use host:port, comma-separated"):
        _settings(KAFKA_BROKERS=brokers)


def test_unfit_settings_are_settings():
    """Settings that do not go together are refused as the log is chosen."""
    with pytest.raises(SettingsError, match="go together"):
        choice.open_log(_settings(KAFKA_BROKERS="127.0.0.1:1", KAFKA_SASL_MECHANISM="PLAIN"))
