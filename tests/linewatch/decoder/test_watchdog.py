"""The end of a process whose decode hangs."""

import threading

import pytest

from linewatch.decoder import watchdog
from linewatch.decoder.watchdog import HUNG_EXIT, TICK_S, Watchdog


@pytest.fixture(name="ends")
def _ends():
    return []


@pytest.fixture(name="dog")
def _dog(ends):
    return Watchdog(1.0, lambda: ends.append(True))


def tick(dog, times):
    """Let time pass."""
    for _ in range(times):
        dog.tick()


def test_idle_never_ends(dog, ends):
    """While nothing is decoded the process lives."""
    tick(dog, 100)
    assert ends == []


def test_hung_decode_ends(dog, ends):
    """A decode that is still running after the deadline ends the process."""
    with dog.watching():
        tick(dog, round(1.0 / TICK_S))
        assert ends == []
        dog.tick()
        assert ends == [True]


def test_many_short_ones(dog, ends):
    """Decodes that end in time never add up."""
    for _ in range(50):
        with dog.watching():
            tick(dog, 3)
    assert ends == []


def test_failed_decode_is_over(dog, ends):
    """A decode that raised is watched no more."""
    with pytest.raises(ValueError, match="bad"), dog.watching():
        raise ValueError("bad")
    tick(dog, 100)
    assert ends == []


def test_threads_are_apart(dog, ends):
    """One thread that hangs is seen beside others that do not."""
    hangs, leave = threading.Event(), threading.Event()

    def hang():
        with dog.watching():
            hangs.set()
            leave.wait(5)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hangs.wait(5)
    for _ in range(5):
        with dog.watching():
            dog.tick()
    leave.set()
    thread.join()
    assert ends == [True]


def test_pause_is_no_hang(dog, ends):
    """A process that was stopped as a whole did not tick, so it goes on."""
    with dog.watching():
        dog.tick()
        # SIGSTOP for an hour: nobody ticked.
        dog.tick()
    assert ends == []


def test_ends_without_clean_up(monkeypatch):
    """The process ends at once, with a status of its own: a hung thread joins nobody."""
    codes = []
    monkeypatch.setattr(watchdog.os, "_exit", codes.append)
    dog = Watchdog(0.1)
    with dog.watching():
        tick(dog, 2)
    assert codes == [HUNG_EXIT]
