"""Which clocks are believed."""

import pytest

from linewatch.calls import Chunk, Codec
from linewatch.decoder.http.arrival import EARLY_MS, LATE_MS, Arrival

NOW_MS = 1_767_225_600_000
NOW = Arrival(NOW_MS)


@pytest.mark.parametrize("off_ms", [-LATE_MS, -600_000, 0, EARLY_MS])
def test_likely_start_is_believed(off_ms):
    """A call may have waited for a day, and clocks differ by seconds."""
    assert NOW.believed(NOW_MS + off_ms) == (NOW_MS + off_ms, 0)


@pytest.mark.parametrize("off_ms", [-NOW_MS, -LATE_MS - 1, EARLY_MS + 1, 10**13])
def test_other_start_is_put_right(off_ms):
    """What lies further off is the arrival, and how far off it was is said."""
    assert NOW.believed(NOW_MS + off_ms) == (NOW_MS, off_ms)


def test_untold_start_is_now():
    """Who says nothing of the start leaves it to the arrival."""
    assert NOW.believed(None) == (NOW_MS, 0)


def test_bound_may_be_chosen():
    """How old a start may be is a setting."""
    assert Arrival(NOW_MS, NOW_MS).believed(0) == (0, 0)


@pytest.mark.parametrize(("position", "before_ms"), [(0, 0), (8000, 1000), (304_000, 38_000)])
def test_first_sample_came_before(position, before_ms):
    """A chunk's position tells how long before it the channel's first sample came."""
    chunk = Chunk(0, position, "s", Codec.PCMU, 8000, b"x")
    assert NOW.of_start(chunk) == Arrival(NOW_MS - before_ms)
