"""Holds a source's workers to settling every entry: delivered, or a dead letter with its reason."""

from __future__ import annotations

import threading

import pytest

from eventing.delivery.deliverer import Deliverer
from eventing.delivery.workers import DeliveryWorkers
from eventing.metrics import DispatcherMeters
from linewatch.errors import NotFound, TooLarge, Unavailable
from linewatch.eventlog.record import Entry
from tests.eventing.subscriber import Subscriber, record, source, until


class Writer:
    """Takes dead letters; `errors` are raised first, one a call."""

    def __init__(self):
        self.errors = []
        self.letters = []

    def publish(self, records):
        """Take *records*."""
        if self.errors:
            raise self.errors.pop(0)
        self.letters += records


@pytest.fixture(name="function")
def _function():
    with Subscriber() as function:
        yield function


@pytest.fixture(name="writer")
def _writer():
    return Writer()


@pytest.fixture(name="stopping")
def _stopping():
    return threading.Event()


@pytest.fixture(name="meters")
def _meters():
    return DispatcherMeters()


@pytest.fixture(name="workers")
def _workers(function, writer, stopping, meters):
    made = source(backoff_s=0.001)
    return DeliveryWorkers(made, Deliverer(made, function.url, stopping), writer, stopping, meters)


def _entry():
    fields = {(k if isinstance(k, bytes) else k.encode()): v for k, v in record().fields().items()}
    return Entry(3, 17, fields, 1)


def _take(workers, settled=lambda _: None):
    """Have an entry delivered, and return what was called at which end."""
    ends, released = [], threading.Event()

    def settle(entry):
        settled(entry)
        ends.append("settled")

    def release(_):
        ends.append("released")
        released.set()

    workers.take(_entry(), settle, release)
    assert released.wait(10)
    return ends


def test_delivered_is_settled(workers, function, writer, meters):
    """What the function took is settled, released and counted."""
    assert _take(workers) == ["settled", "released"]
    assert len(function.requests) == 1
    assert writer.letters == []
    text = meters.text().decode()
    assert 'deliveries_total{outcome="delivered",source="sentiment"} 1.0' in text
    assert 'delivery_seconds_count{source="sentiment"} 1.0' in text


def test_refused_is_dead_letter(workers, function, writer, meters):
    """What the function refuses is settled once it lies in the dead letters."""
    function.answers = [(422, {"kne-reason": "bad-schema"}, b"")]
    assert _take(workers) == ["settled", "released"]
    (letter,) = writer.letters
    assert letter.topic == "dead-sentiment"
    assert letter.headers["ce_knativeerrorcode"] == b"422"
    assert letter.headers["ce_reason"] == b"bad-schema"
    assert 'outcome="dead",source="sentiment"} 1.0' in meters.text().decode()


@pytest.mark.parametrize("error", [Unavailable("away"), NotFound("no topic dead-sentiment")])
def test_letter_waits_for_log(workers, function, writer, error):
    """A dead letter that cannot be written yet is tried until it is; the entry waits with it."""
    function.answers = [400]
    writer.errors = [error]
    assert _take(workers) == ["settled", "released"]
    assert len(writer.letters) == 1
    assert len(function.requests) == 1


def test_large_letter_loses_body(workers, function, writer, caplog):
    """A letter that is too large with its reason keeps where its event lies, and the reason."""
    function.answers = [400]
    writer.errors = [TooLarge("1048576 bytes at most")]
    assert _take(workers) == ["settled", "released"]
    (letter,) = writer.letters
    assert letter.value == b""
    assert letter.headers["ce_knativekafkapartition"] == b"3"
    assert letter.headers["ce_knativekafkaoffset"] == b"17"
    assert "a dead letter without its body: 1048576 bytes at most" in caplog.text


def test_settling_is_insisted_on(workers, function):
    """An acknowledgement that the log did not take is repeated, the delivery is not."""
    tries = []

    def settled(_):
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("away")

    assert _take(workers, settled) == ["settled", "released"]
    assert len(tries) == 2
    assert len(function.requests) == 1


def test_stop_leaves_entry(workers, function, writer, stopping):
    """In an outage a stop releases the entry unsettled: the next start delivers it."""
    function.answers = [400]
    writer.errors = [Unavailable("away")] * 1000
    ends = []
    workers.take(_entry(), lambda _: ends.append("settled"), lambda _: ends.append("released"))
    until(lambda: len(writer.errors) < 1000)
    stopping.set()
    until(lambda: ends == ["released"])


def test_oldest_is_under_way(workers, function):
    """While entries are being delivered the oldest tells since when, and then none does."""
    function.gate.clear()
    for offset, written_at_ms in enumerate((1700, 1600, 1800)):
        entry = Entry(3, offset, _entry().fields, written_at_ms)
        workers.take(entry, lambda _: None, lambda _: None)
    assert workers.oldest_at_ms == 1600
    function.gate.set()
    until(lambda: workers.oldest_at_ms is None)
