"""RFC 3339 in all its forms is read, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import moments

_NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00-00:00",
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T17:30:00+05:30",
        "2026-01-30T12:01:00-23:59",
        "2026-01-31T12:00:00.0000000000Z",
        "2026-01-31T11:59:60Z",
        "2026-01-31T12:00Z",
    ],
)
def test_every_form_is_read(text):
    """Either case, a space for the T, any zone, a leap second, and seconds that are left out."""
    assert moments.parse(text) == _NOON


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [("5", 500_000), ("123456789", 123_456), ("000", 0), ("0000009", 0)],
)
def test_any_fraction_is_read(fraction, microseconds):
    """A fraction of a second has any number of digits; those below a microsecond are cut off."""
    assert moments.parse(f"2026-01-31T12:00:00.{fraction}Z").microsecond == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T24:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+05:60",
        "2026-01-31T12:00:00+0530",
        "20260131T120000Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31T12:00:00Z ",
        "\u0662026-01-31T12:00:00Z",
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        1_769_860_800,
        None,
        True,
    ],
)
def test_other_texts_are_refused(text):
    """What is no RFC 3339 time, or no day of the calendar, is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        moments.parse(text)


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_iso_round_trip(moment, minutes):
    """What Python writes with an offset of whole minutes is read as the same moment."""
    dated = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert moments.parse(dated.isoformat()) == dated


@given(st.text(max_size=40))
def test_any_text_is_judged(text):
    """Any text is a moment with a zone or a ValueError."""
    try:
        assert moments.parse(text).tzinfo is not None
    except ValueError:
        return
