"""Holds one event's delivery to KafkaSource's rules on success, retry and giving up."""

from __future__ import annotations

import threading
import time

import pytest

from eventing.delivery.deliverer import Deliverer, Stopped, is_retried
from eventing.delivery.kafkasource_request import event_of
from eventing.replica import free_port
from linewatch.eventlog.record import Entry
from tests.eventing.subscriber import Subscriber, record, source, until


@pytest.fixture(name="function")
def _function():
    with Subscriber() as function:
        yield function


def _deliver(url, stopping=None, **delivery):
    made = source(**delivery)
    fields = {name.encode(): value for name, value in record().fields().items()}
    event, _ = event_of(made, Entry(0, 1_000_000, fields, 1))
    return Deliverer(made, url, stopping or threading.Event()).deliver(event)


@pytest.mark.parametrize("status", [200, 202, 204, (200, {}, b"not an event")])
def test_success_is_any_2xx(function, status):
    """Every 2xx is success, whatever the body says: a KafkaSource drops replies."""
    function.answers = [status]
    assert _deliver(function.url) is None
    assert len(function.requests) == 1


@pytest.mark.parametrize("status", [404, 408, 409, 429, 500, 502, 503, 504])
def test_passing_trouble_is_retried(function, status):
    """Answers that may pass are retried until the function takes the event."""
    function.answers = [status, status]
    assert _deliver(function.url) is None
    assert len(function.requests) == 3


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 405, 410, 413, 422])
def test_refusal_is_final(function, status):
    """Every other 3xx and 4xx ends the delivery after one try."""
    function.answers = [(status, {"kne-reason": "bad", "Location": "/x"}, b"why")]
    failure = _deliver(function.url)
    assert (failure.status, failure.body) == (status, b"why")
    assert failure.headers["kne-reason"] == "bad"
    assert len(function.requests) == 1


def test_retries_are_bounded(function):
    """After the retries are used up, the last answer is the failure."""
    function.answers = [500, 503, 502, 204]
    assert _deliver(function.url).status == 502
    assert len(function.requests) == 3


def test_refused_connection_is_retried():
    """A function nobody serves fails without a status, after all retries."""
    began = time.monotonic()
    failure = _deliver(f"http://127.0.0.1:{free_port()}/", backoff_s=0.02)
    assert failure.status is None
    assert time.monotonic() - began >= 0.02 * (2 + 4)


def test_late_answer_is_failure(function):
    """An answer after the delivery's time-out counts as none."""
    function.gate.clear()
    assert _deliver(function.url, timeout_s=0.1, retries=1).status is None
    until(lambda: len(function.requests) == 2)


def test_backoff_doubles(function):
    """Retry n waits backoffDelay times two to the n."""
    function.answers = [500, 500]
    _deliver(function.url, backoff_s=0.03)
    first, second, third = (request.at_s for request in function.requests)
    assert second - first >= 0.06
    assert third - second >= 0.12


def test_stop_ends_backoff(function):
    """A dispatcher that stops neither waits for the back-off nor gives the event up."""
    function.answers = [500]
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        _deliver(function.url, stopping, backoff_s=30)


def test_connection_is_kept(function):
    """Deliveries one after the other use one connection."""
    made = source()
    fields = {name.encode(): value for name, value in record().fields().items()}
    event, _ = event_of(made, Entry(0, 1_000_000, fields, 1))
    deliverer = Deliverer(made, function.url, threading.Event())
    function.answers = [(200, {}, b"x" * 5000), (422, {}, b"y" * 5000)]
    for _ in range(4):
        deliverer.deliver(event)
    assert deliverer._pool.num_connections == 1


def test_request_reaches_path(function):
    """The POST goes to the Service's path, with the body's bytes."""
    _deliver(function.url)
    (request,) = function.requests
    assert request.path == "/fn/"
    assert request.body == record().value
    assert request.headers["content-type"] == "application/json"


def test_silence_is_retried():
    """No answer at all is worth another try, as the 5xx are."""
    assert is_retried(None)
    assert is_retried(599)
    assert not is_retried(418)
