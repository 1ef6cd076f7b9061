"""One read a second for all viewers, and the last good board when the store is away."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from linewatch.board.rows import Health
from linewatch.errors import StoreUnavailable
from streamlit_app.feed import Feed
from tests.support.board_views import NOW_MS, detail, snapshot


class Source:
    """A board that counts its reads and can be away."""

    def __init__(self):
        self.reads = self.details = 0
        self.away = False
        self.board = snapshot()

    def snapshot(self, tenant):
        """See `Board`."""
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        assert tenant == "acme"
        return self.board

    def detail(self, tenant, call):
        """See `Board`."""
        self.details += 1
        if self.away:
            raise StoreUnavailable("away")
        return detail() if (tenant, call) == ("acme", "call-1") else None


class Clock:
    """A clock that stands until it is moved."""

    now_s = 100.0

    def __call__(self):
        """Return the time."""
        return self.now_s


@pytest.fixture(name="source")
def _source():
    return Source()


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="feed")
def _feed(source, clock):
    return Feed(source, "acme", clock_s=clock)


def test_viewers_share_one_read(feed, source, clock):
    """However many look within 0.9 s, the board is read once."""
    viewers = [threading.Thread(target=feed.read) for _ in range(8)]
    for each in viewers:
        each.start()
    for each in viewers:
        each.join()
    assert source.reads == 1

    clock.now_s += 0.9
    feed.read()
    assert source.reads == 2


def test_data_age_is_told(feed, clock):
    """A reading says how old its snapshot is."""
    assert feed.read().age_s == 0
    clock.now_s += 0.5
    assert feed.read().age_s == pytest.approx(0.5)


def test_last_board_stays_when_away(feed, source, clock):
    """A store that is away leaves the last good board standing, growing old."""
    shown = feed.read().snapshot
    source.away = True
    for _ in range(7):
        clock.now_s += 1
        reading = feed.read()

    assert reading.snapshot is shown
    assert reading.age_s == pytest.approx(7)


def test_board_returns_by_itself(feed, source, clock):
    """When the store answers again the board is fresh at the next tick."""
    feed.read()
    source.away = True
    clock.now_s += 30
    assert feed.read().age_s == pytest.approx(30)
    source.away = False
    clock.now_s += 1
    assert feed.read().age_s == 0


def test_absence_is_logged_once(feed, source, clock, caplog):
    """One line says that the store is away and one that it is back."""
    source.away = True
    for _ in range(3):
        clock.now_s += 1
        feed.read()
    source.away = False
    clock.now_s += 1
    feed.read()

    said = [each.getMessage() for each in caplog.records]
    assert said == ["dashboard: the store does not answer", "dashboard: the store answers again"]


def test_nothing_before_first_answer(feed, source):
    """Before the store ever answered there is no board, and that is no error."""
    source.away = True

    assert feed.read().snapshot is None


def test_away_store_is_spared(feed, source, clock):
    """While the store is away it is asked once a tick, not once a viewer and open call."""
    feed.read()
    feed.detail("call-1")
    source.away = True
    clock.now_s += 1
    for _ in range(5):
        feed.read()
        assert feed.detail("call-1") is not None

    assert (source.reads, source.details) == (2, 1)


def test_details_are_shared(feed, source, clock):
    """One call's detail is read once per tick for all who opened it."""
    assert feed.detail("call-1") is feed.detail("call-1")
    assert source.details == 1
    clock.now_s += 1
    assert feed.detail("call-2") is None
    assert feed.detail("call-1") is not None
    assert source.details == 3


def test_closed_details_are_forgotten(feed, clock):
    """A call nobody looks at any more takes no memory after a minute."""
    for number in range(5):
        feed.detail(f"call-{number}")
    clock.now_s += 60
    feed.detail("call-9")

    assert list(feed._details) == ["call-9"]


def test_detail_failure_keeps_last(feed, source, clock):
    """A detail that cannot be read again stays as it was; an unread one is none."""
    kept = feed.detail("call-1")
    source.away = True
    clock.now_s += 1

    assert feed.detail("call-1") is kept
    assert feed.detail("call-2") is None


def test_stuck_events_are_timed(feed, source, clock):
    """Events that wait while none arrives are timed; arrival or an empty queue ends it."""
    source.board = snapshot(health=Health(outbox=3))
    for _ in range(4):
        clock.now_s += 2
        reading = feed.read()
    assert reading.stuck_s == pytest.approx(6)

    source.board = snapshot(health=Health(outbox=3), newest_at_ms=NOW_MS)
    clock.now_s += 1
    assert feed.read().stuck_s == 0

    source.board = snapshot(newest_at_ms=NOW_MS)
    clock.now_s += 60
    assert feed.read().stuck_s == 0


def test_newer_rows_are_said_once(caplog):
    """A board with rows that only newer code can read is told in the log once."""
    source, clock = Source(), Clock()
    source.board = replace(snapshot(), unreadable=("call-2",))
    feed = Feed(source, "acme", clock_s=clock)
    for _ in range(3):
        clock.now_s += 1
        assert feed.read().snapshot.unreadable == ("call-2",)
    assert caplog.text.count("newer code wrote 1 rows or alerts") == 1
