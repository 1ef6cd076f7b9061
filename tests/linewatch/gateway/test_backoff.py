"""How waits grow."""

from __future__ import annotations

import random

from linewatch.gateway.backoff import Backoff


def test_waits_grow_to_a_second():
    """Waits double from 50 ms to 1 s, each with up to half taken off."""
    backoff = Backoff(random.Random(1))
    for expected in (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0):
        assert expected / 2 <= backoff.wait_s() <= expected


def test_success_begins_anew():
    """After a success the first wait is short again."""
    backoff = Backoff(random.Random(1))
    for _ in range(8):
        backoff.wait_s()
    backoff.reset()
    assert backoff.wait_s() <= 0.05


def test_asked_time_is_a_minimum():
    """A Retry-After is kept, up to 5 s, and senders still come back apart."""
    backoff = Backoff(random.Random(1))
    assert 1.0 < backoff.wait_s(1.0) < 1.1
    assert 5.0 < backoff.wait_s(3600.0) < 5.2


def test_waits_differ_by_sender():
    """Two senders that failed together do not come back together."""
    assert Backoff(random.Random(1)).wait_s() != Backoff(random.Random(2)).wait_s()
