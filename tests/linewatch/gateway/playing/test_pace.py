"""Audio passes at exactly 1x."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.gateway.playing.pace import Clock, Pace
from tests.linewatch.gateway.times import FakeClock


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=200), st.floats(0, 0.2))
def test_no_drift_over_time(sizes, oversleep_s):
    """However late each wait ends, every piece leaves at its own deadline or at once."""
    clock = FakeClock(oversleep_s=oversleep_s)
    began_s = clock.now_s
    pace = Pace(clock, 8000)
    samples = 0
    for size in sizes:
        pace.spoken(size)
        samples += size
        late_s = clock.now_s - began_s - samples / 8000
        assert -1e-6 <= late_s <= oversleep_s + 1e-6


def test_exactly_real_time():
    """Ten minutes in pieces of 250 ms take ten minutes."""
    clock = FakeClock()
    began_s = clock.now_s
    pace = Pace(clock, 8000)
    for _ in range(2400):
        pace.spoken(2000)
    assert clock.now_s - began_s == pytest.approx(600.0, abs=1e-6)


def test_catches_up_without_skipping():
    """After a hold-up everything that is late passes without a wait."""
    clock = FakeClock()
    pace = Pace(clock, 8000)
    pace.spoken(8000)
    clock.now_s += 10
    waits = len(clock.waits)
    for _ in range(10):
        pace.spoken(8000)
    assert all(wait_s <= 0 for wait_s in clock.waits[waits:])
    pace.spoken(8000)
    assert clock.waits[-1] == pytest.approx(1.0)


def test_stop_ends_the_wait():
    """A wait ends as soon as it is time to stop, and says so."""
    clock = Clock(threading.Event())
    pace = Pace(clock, 8000)
    clock.stop.set()
    an_hour = 3600 * 8000
    assert pace.spoken(an_hour)


def test_clock_tells_wall_time():
    """Points in time are milliseconds since 1970."""
    assert Clock(wall_s=lambda: 1.5).wall_ms() == 1500
    assert not Clock().wait(-1)
