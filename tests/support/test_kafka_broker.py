"""Which broker a test on Kafka gets."""

from __future__ import annotations

from kafka import KafkaAdminClient

from tests.support import inner
from tests.support.kafka_broker import unique

TESTS = '''
"""Tests on Kafka."""

import os

from tests.support.kafka_broker import unique


def test_plain(kafka):
    """The broker is the given one, and no role that a test starts is told of it."""
    assert kafka.address == {address!r}
    assert "KAFKA_BROKERS" not in os.environ
    topic = unique({topic!r})
    kafka.make_topics(topic)
    assert kafka.read(topic) == []


def test_own(own_kafka):
    """It is not reached where there is no Java."""
    raise AssertionError
'''


def test_names_are_new():
    """Each name is another."""
    assert unique("call") != unique("call")


def test_given_broker_is_used(kafka, tmp_path):
    """KAFKA_BROKERS serves plain tests and is left as it was; what breaks a broker skips in CI."""
    topic = unique("inner")
    made = TESTS.format(address=kafka.address, topic=topic)
    done = inner.run(tmp_path, made, KAFKA_BROKERS=kafka.address, PATH=str(tmp_path), CI="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped 1: the broker of KAFKA_BROKERS is not ours to break, and no java" in done.stdout
    assert "1 passed" in done.stdout
    admin = kafka.brokers().connect(KafkaAdminClient, 30)
    assert not [each for each in admin.list_topics() if each.startswith(topic)]
    admin.close()
