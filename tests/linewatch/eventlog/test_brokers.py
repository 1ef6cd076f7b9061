"""Holds the writing to Kafka to order, to refusals with a reason, and to clear lines."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

import pytest
from kafka import KafkaAdminClient

from linewatch.errors import BadEvent, NotFound, SettingsError, TooLarge, Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka_writer import MOST_BYTES, KafkaLogWriter
from linewatch.eventlog.settings import KafkaSettings
from linewatch.events import Record
from linewatch.settings import load
from tests.support.kafka_broker import unique

# What cannot be compressed below a topic's limit.
_NOISE = random.Random(4)


def _record(topic, call="call-1", number=0, size=0):
    headers = {"ce_id": b"%d-final" % number, "ce_subject": call.encode()}
    return Record(topic, call, headers, b'{"n": %d}' % number + _NOISE.randbytes(size))


@pytest.fixture(name="topic")
def _topic(kafka):
    name = unique("utterances")
    kafka.make_topics(name)
    return name


@pytest.fixture(name="writer")
def _writer(kafka):
    writer = kafka.writer()
    yield writer
    writer.close()


def _free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_record_arrives_unchanged(kafka, writer, topic):
    """Topic, key, headers and value lie in Kafka as they were given, also an empty value."""
    made = [_record(topic), Record(topic, "call-ü", {"ce_id": b"1"}, b"")]
    writer.publish(made)
    assert sorted(kafka.read(topic), key=lambda record: record.key) == made


def test_order_kept_per_call(kafka, writer, topic):
    """The records of each call lie in the order they were published, over many batches."""
    for begin in range(0, 300, 50):
        writer.publish([_record(topic, f"call-{n % 7}", n) for n in range(begin, begin + 50)])
    read = kafka.read(topic)
    for call in range(7):
        ids = [record.headers["ce_id"] for record in read if record.key == f"call-{call}"]
        assert ids == [b"%d-final" % n for n in range(call, 300, 7)]


def test_empty_batch_connects_nobody():
    """Nothing to write needs no Kafka."""
    KafkaLogWriter(Brokers(load(KafkaSettings, {"KAFKA_BROKERS": "127.0.0.1:1"}))).publish([])


def test_large_record_is_refused(kafka, writer, topic):
    """A record beyond 1 MiB is refused by its size, and the next one is written."""
    with pytest.raises(TooLarge, match=str(MOST_BYTES)):
        writer.publish([_record(topic, size=MOST_BYTES)])
    writer.publish([_record(topic)])
    assert len(kafka.read(topic)) == 1


def test_brokers_limit_is_refusal(kafka, writer):
    """A record that only the broker finds too large is refused as well, and no other is."""
    topic = unique("small")
    kafka.make_topics(topic, configs={"max.message.bytes": "2000"})
    for others in ([], [_record(topic)]):
        with pytest.raises(BadEvent, match="MESSAGE_SIZE_TOO_LARGE"):
            writer.publish([_record(topic, size=5000), *others])
    writer.publish([_record(topic, "call-2")])
    assert [record.key for record in kafka.read(topic)].count("call-2") == 1


def test_refusal_hurts_no_other(kafka, writer, topic):
    """While one thread's record is refused by the broker, those of the others are written."""
    small = unique("small")
    kafka.make_topics(small, configs={"max.message.bytes": "2000"})
    refused = []

    def publish_large():
        while len(refused) < 5:
            try:
                writer.publish([_record(small, size=5000)])
            except BadEvent:
                refused.append(1)
            except Unavailable:
                continue

    hurting = threading.Thread(target=publish_large)
    hurting.start()
    written = 0
    while hurting.is_alive():
        # One in the same batch may have to be sent again; it is never refused.
        with contextlib.suppress(Unavailable):
            writer.publish([_record(topic, number=written)])
            written += 1
    hurting.join()
    assert len({record.headers["ce_id"] for record in kafka.read(topic)}) == written > 0


def test_unknown_topic_is_refused(writer, topic):
    """A topic that Kafka has not is named, soon the second time, and others are written."""
    for _ in range(2):
        with pytest.raises(NotFound, match="Kafka has no topic nowhere"):
            writer.publish([_record("nowhere")])
    writer.publish([_record(topic)])


@pytest.mark.parametrize("bad", [{"topic": "no topic"}, {"headers": {"ce_id": "text"}}])
def test_unwritable_record_is_refused(writer, topic, bad):
    """What Kafka's format cannot hold is refused with the reason."""
    made = {"topic": topic, "key": "call-1", "headers": {}, "value": b"", **bad}
    with pytest.raises(BadEvent, match="Kafka cannot hold the record"):
        writer.publish([Record(**made)])


def test_outage_leaves_nothing_behind(topic):
    """While no broker answers each try is `Unavailable`, soon the second time; no thread stays."""
    away = Brokers(load(KafkaSettings, {"KAFKA_BROKERS": f"127.0.0.1:{_free_port()}"}))
    writer = KafkaLogWriter(away, wait_s=0.5)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(Unavailable, match="Kafka"):
            writer.publish([_record(topic)])
    assert threading.active_count() == before


def test_failed_clients_leave_no_thread():
    """A client that finds no broker leaves no thread behind, whatever its kind."""
    away = Brokers(load(KafkaSettings, {"KAFKA_BROKERS": f"127.0.0.1:{_free_port()}"}))
    before = threading.active_count()
    with pytest.raises(Unavailable, match="does not let us in: 111 ECONNREFUSED"):
        away.connect(KafkaAdminClient, 0.3)
    assert threading.active_count() == before


def test_missing_topics_are_told(kafka, topic):
    """The check names the topics that are missing and the command that makes them."""
    kafka.brokers().check([topic])
    with pytest.raises(SettingsError, match=r"no topic absent: run `python -m eventing\.topics`"):
        kafka.brokers().check([topic, "absent"])


def test_topics_being_made_are_waited_for(kafka):
    """A topic that is made while a role starts does not fail the start."""
    name = unique("late")
    making = threading.Timer(1.0, kafka.make_topics, (name,))
    making.start()
    kafka.brokers(**{**kafka.env, "KAFKA_TOPICS_S": "40"}).check([name])
    making.join()


def test_kafka_on_its_way_is_waited_for(kafka, topic, monkeypatch, caplog):
    """A Kafka that comes up while a role starts does not fail the start, and why is told once."""
    brokers = kafka.brokers(**{**kafka.env, "KAFKA_CONNECT_S": "0.3", "KAFKA_TOPICS_S": "40"})
    there = brokers._options["bootstrap_servers"]
    monkeypatch.setitem(brokers._options, "bootstrap_servers", ["127.0.0.1:1"])
    coming = threading.Timer(2.0, brokers._options.__setitem__, ("bootstrap_servers", there))
    coming.start()
    brokers.check([topic])
    coming.join()
    (told,) = [each.getMessage() for each in caplog.records if each.name.startswith("linewatch")]
    assert told.startswith("waits for Kafka, 40 s in all: Kafka at 127.0.0.1:")


def test_absent_kafka_ends_the_wait():
    """The wait for a Kafka that does not come ends in its time, with what to look at."""
    told = {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "0.3", "KAFKA_TOPICS_S": "1"}
    begun_s = time.monotonic()
    with pytest.raises(SettingsError, match="does not let us in: 111 ECONNREFUSED"):
        Brokers(load(KafkaSettings, told)).check()
    assert time.monotonic() - begun_s >= 1


@pytest.mark.parametrize("listener", ["tls", "sasl", "mtls"])
def test_secured_listeners_let_in(own_kafka, listener):
    """TLS, TLS with a login, and TLS with our own certificate each carry records."""
    topic = unique("utterances")
    own_kafka.make_topics(topic)
    writer = KafkaLogWriter(own_kafka.brokers(**own_kafka.secured(listener)), 60)
    writer.publish([_record(topic)])
    writer.close()
    assert len(own_kafka.read(topic)) == 1


@pytest.mark.parametrize(
    ("listener", "wrong", "why"),
    [
        ("tls", {"SSL_CERT_PATH": "other.pem"}, "CERTIFICATE_VERIFY_FAILED"),
        ("sasl", {"KAFKA_PASSWORD": "wrong"}, "does not let us in"),
        ("mtls", {"KAFKA_CLIENT_CERT": "", "KAFKA_CLIENT_KEY": ""}, "does not let us in"),
    ],
)
def test_wrong_credentials_are_told(own_kafka, monkeypatch, listener, wrong, why):
    """A wrong authority, password or no certificate is one line that says what to look at."""
    monkeypatch.chdir(own_kafka.folder)
    brokers = own_kafka.brokers(**own_kafka.secured(listener, KAFKA_CONNECT_S="2", **wrong))
    with pytest.raises(SettingsError, match=why) as refused:
        brokers.check()
    assert "KAFKA_BROKERS, SSL_CERT_PATH" in refused.value.detail
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"KAFKA_CLIENT_CERT": "client.pem"}, "is used with TLS only: set SSL_CERT_PATH"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_USERNAME and KAFKA_PASSWORD go together"),
        ({"KAFKA_USERNAME": "a", "KAFKA_PASSWORD": "b"}, "go together: set all or none"),
        ({"SSL_CERT_PATH": "names"}, "cannot be used as PEM"),
    ],
)
def test_unfit_settings_are_told(tmp_path, monkeypatch, env, line):
    """Settings that do not go together are refused before anything is connected."""
    for name in ("client.pem", "names"):
        (tmp_path / name).write_text("no PEM")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=line):
        Brokers(load(KafkaSettings, {"KAFKA_BROKERS": "127.0.0.1:1", **env}))
