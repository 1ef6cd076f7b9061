"""The threads that serve requests."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from linewatch.serving.thread_pool import ThreadPool

WAIT_S = 5


@pytest.fixture(name="pool")
def _crew():
    """Two threads, which end with the test."""
    pool = ThreadPool(2)
    yield pool
    pool.shutdown()


class Held:
    """A job that runs until it is let go."""

    def __init__(self):
        self.began, self.may_end = threading.Event(), threading.Event()
        self.thread = None

    def __call__(self):
        """Run."""
        self.thread = threading.current_thread()
        self.began.set()
        assert self.may_end.wait(WAIT_S)


def done_by(pool):
    """Return the thread that does a job at once."""
    told = SimpleQueue()
    pool.submit(lambda: told.put(threading.current_thread()))
    return told.get(timeout=WAIT_S)


def held_by(pool):
    """Return two jobs that two threads have begun."""
    jobs = Held(), Held()
    for job in jobs:
        pool.submit(job)
        assert job.began.wait(WAIT_S)
    return jobs


def idle(pool, count):
    """Wait until *count* threads are idle."""
    for _ in range(WAIT_S * 100):
        if len(pool._idle) == count:
            return
        threading.Event().wait(0.01)
    pytest.fail(f"{len(pool._idle)} threads are idle")


def test_no_more_threads_than_said(pool):
    """A third job waits until one of two threads is free, and is not lost."""
    (first, second), third = held_by(pool), Held()
    pool.submit(third)
    assert not third.began.wait(0.05)
    first.may_end.set()
    assert third.began.wait(WAIT_S)
    assert third.thread is first.thread
    second.may_end.set()
    third.may_end.set()


def test_no_thread_before_it_is_needed(pool):
    """One job after the other is done by one thread."""
    first = done_by(pool)
    for _ in range(5):
        idle(pool, 1)
        assert done_by(pool) is first


def test_last_free_goes_first(pool):
    """Of two idle threads the one that worked last takes the next job."""
    first, second = held_by(pool)
    first.may_end.set()
    idle(pool, 1)
    second.may_end.set()
    idle(pool, 2)
    assert [done_by(pool), idle(pool, 2), done_by(pool)] == [second.thread, None, second.thread]


def test_threads_end_at_the_end():
    """An idle thread ends at once, a busy one once its job is done."""
    pool = ThreadPool(2)
    quick = done_by(pool)
    idle(pool, 1)
    slow, other = held_by(pool)
    other.may_end.set()
    idle(pool, 1)
    pool.shutdown()
    other.thread.join(WAIT_S)
    assert not other.thread.is_alive()
    assert slow.thread.is_alive()
    slow.may_end.set()
    slow.thread.join(WAIT_S)
    assert not slow.thread.is_alive()
    assert quick in {slow.thread, other.thread}
