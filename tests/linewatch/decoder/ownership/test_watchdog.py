"""The end of a process whose decode hangs."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from linewatch.decoder.ownership import watchdog
from linewatch.decoder.ownership.watchdog import HUNG_EXIT, TICK_S, Watchdog


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
            leave.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hangs.wait(60)
    for _ in range(5):
        with dog.watching():
            dog.tick()
    leave.set()
    thread.join()
    assert ends == [True]


def test_long_chunks_take_longer(dog, ends):
    """A chunk of more than a second of audio has the deadline for each of its seconds."""
    with dog.watching(3.0):
        tick(dog, 3 * round(1.0 / TICK_S))
        assert ends == []
        dog.tick()
    assert ends == [True]


_DECODES = """
import sys, threading, time
from linewatch.decoder.ownership.watchdog import TICK_S, Watchdog
dog = Watchdog(4 * TICK_S)
def tick():
    while True:
        time.sleep(TICK_S)
        dog.tick()
threading.Thread(target=tick, daemon=True).start()
with dog.watching():
    print("decoding", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(("stopped_s", "going_s", "code"), [(1.5, 0.6, 0), (0, 1.6, HUNG_EXIT)])
def test_pause_is_no_hang(stopped_s, going_s, code):
    """A process that was stopped for longer than the deadline goes on; one that hangs ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _DECODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        time.sleep(stopped_s)
        child.send_signal(signal.SIGCONT)
        time.sleep(going_s)
        child.communicate(b"\n")
    assert child.returncode == code


def test_ends_without_clean_up(monkeypatch):
    """The process ends at once, with a status of its own: a hung thread joins nobody."""
    codes = []
    monkeypatch.setattr(watchdog.os, "_exit", codes.append)
    dog = Watchdog(0.1)
    with dog.watching():
        tick(dog, 2)
    assert codes == [HUNG_EXIT]
