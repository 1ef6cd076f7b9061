"""Probes ask a store within bounds, whatever the store does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from linewatch.errors import StoreUnavailable, Unavailable
from linewatch.serving.readiness import Readiness

PROBES = 20


class Store:
    """Answers once it is let, counts who asks at once, and raises *error* if there is one."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.asked = 0
        self.error = None

    def ask(self):
        """Answer."""
        self.asked += 1
        self.may_answer.wait(60)
        if self.error:
            raise self.error


@pytest.fixture(name="store")
def _store():
    """A store that does not answer yet."""
    store = Store()
    yield store
    store.may_answer.set()


def refusals(ready, count):
    """Let *count* probes ask at once, and return what they were told."""

    def probe(_):
        try:
            ready.check()
        except Unavailable as error:
            return error.detail
        return ""

    with ThreadPoolExecutor(count) as probes:
        return list(probes.map(probe, range(count)))


def test_store_that_answers_is_ready(store):
    """While the store answers each probe is told so, however many ask at once."""
    store.may_answer.set()
    assert refusals(Readiness(store.ask, 10), PROBES) == [""] * PROBES


def test_answer_is_waited_for(store):
    """All probes wait for an answer that comes in time, and the store is asked once."""
    threading.Timer(0.1, store.may_answer.set).start()
    assert refusals(Readiness(store.ask, 10), PROBES) == [""] * PROBES
    assert store.asked == 1


def test_silent_store_is_asked_once(store):
    """A store that does not answer is asked once, and no probe waits beyond its patience."""
    ready = Readiness(store.ask, 0.05)
    for _ in range(3):
        assert all("ask again" in told for told in refusals(ready, PROBES))
    assert store.asked == 1


def test_known_silence_is_told_at_once(store):
    """While one probe waits for a store that stood still, the others do not wait."""
    patient = Readiness(store.ask, 10)
    store.error = StoreUnavailable("refused")
    store.may_answer.set()
    assert refusals(patient, 1) == ["refused"]
    store.may_answer.clear()
    with ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(refusals, patient, 1)
        while store.asked < 2:
            threading.Event().wait(0.01)
        assert all("stands still" in told for told in refusals(patient, PROBES))
        assert not waiting.done()
        store.error = None
        store.may_answer.set()
        assert waiting.result(10) == [""]
    assert refusals(patient, PROBES) == [""] * PROBES


def test_fault_is_told(store):
    """A fault in asking is raised by the probe, and the next probe asks anew."""
    ready = Readiness(store.ask, 10)
    store.error = ValueError("a bug")
    store.may_answer.set()
    with pytest.raises(ValueError, match="a bug"):
        ready.check()
    store.error = None
    ready.check()
