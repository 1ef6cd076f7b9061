"""One caller waits for a store that stands still, the others do not."""

import threading

import pytest

from linewatch.serving.breaker import Breaker


@pytest.fixture(name="still")
def _still():
    """A standstill that one caller has found."""
    still = Breaker(TimeoutError)
    with pytest.raises(TimeoutError), still.asking():
        raise TimeoutError("not answered in time")
    return still


@pytest.fixture(name="waiter")
def _waiter(still):
    """Another caller, in its thread, that waits for the answer until it is let go."""
    waits, leave = threading.Event(), threading.Event()

    def wait():
        with still.asking():
            waits.set()
            leave.wait(60)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(60)

    def let_go():
        leave.set()
        thread.join()

    yield let_go
    let_go()


def test_others_do_not_wait(still, waiter):
    """While one caller waits for the store the next is told at once, without asking."""
    with pytest.raises(TimeoutError, match="stands still"), still.asking():
        pytest.fail("the store was asked")


def test_answer_ends_it(still, waiter):
    """The first answer lets everybody ask again, side by side."""
    waiter()
    with still.asking(), still.asking():
        pass


def test_one_asks_after_another(still):
    """A caller that waited in vain makes room for the next to try."""
    for _ in range(3):
        with pytest.raises(TimeoutError, match="in vain"), still.asking():
            raise TimeoutError("in vain")


def test_refused_is_no_breaker():
    """A store that is away refuses at once: everybody may ask it."""
    still = Breaker(TimeoutError)
    with pytest.raises(ConnectionError), still.asking():
        raise ConnectionError("refused")
    with still.asking(), still.asking():
        pass
