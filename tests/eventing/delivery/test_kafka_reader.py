"""Holds a subscription to its ordering, and to committing only what it settled and still holds."""

from __future__ import annotations

import threading
import time

import pytest

from eventing.delivery.deliverer import IN_FLIGHT
from eventing.delivery.kafka_reader import Subscription
from linewatch.errors import Unavailable
from linewatch.eventlog.record import Entry
from tests.eventing.subscriber import source, until


class Feed:
    """A membership under the test's control: `given` is what the next polls return."""

    def __init__(self):
        self.given = []
        self.paused = frozenset()
        self.commits = []
        self.closed_with = None
        self.fails = False
        self.polls = 0
        self.holder = None

    def join_group(self, holder):
        """Become *holder*'s membership."""
        self.holder = holder
        return self

    def poll(self, wait_s):
        """Return what is given next."""
        self.polls += 1
        if self.fails:
            raise Unavailable("Kafka is away: a test")
        if not self.given:
            time.sleep(min(wait_s, 0.01))
            return []
        return self.given.pop(0)

    def pause(self, partitions):
        """Note what is not to be fetched."""
        self.paused = frozenset(partitions)
        return not self.paused

    def commit(self, offsets):
        """Keep *offsets* at once."""
        if offsets:
            self.commits.append(dict(offsets))
            self.holder.committed(offsets)

    def close(self, offsets):
        """Note with what the group was left."""
        self.closed_with = dict(offsets)


class DeliveryWorkers:
    """Deliveries under the test's control: an entry is settled when the test says so."""

    def __init__(self, told):
        self.source = told
        self.taken = []
        self._ends = {}

    def take(self, entry, settled, released):
        """Note that *entry* is under way."""
        self.taken.append(entry.place)
        self._ends[entry.place] = (entry, settled, released)

    def settle(self, *places):
        """End the deliveries of *places* well."""
        for place in places:
            entry, settled, released = self._ends.pop(place)
            settled(entry)
            released(entry)

    def leave(self, place):
        """End a delivery unsettled."""
        entry, _, released = self._ends.pop(place)
        released(entry)


def _entries(*offsets, partition=0):
    return [Entry(partition, offset, {b"value": b""}, 0) for offset in offsets]


@pytest.fixture(name="feed")
def _feed():
    return Feed()


@pytest.fixture(name="begin")
def _begin(feed):
    """Start a subscription of a source; it is stopped at the end."""
    started = []

    def begin(**told):
        workers = DeliveryWorkers(source(**told))
        stopping = threading.Event()
        subscription = Subscription(workers, feed.join_group, stopping, commit_s=0.02)
        started.append((subscription, stopping))
        subscription.start()
        return subscription, workers, stopping

    yield begin
    for subscription, stopping in started:
        stopping.set()
        subscription.join(5)


def test_settled_is_committed(feed, begin):
    """What is settled without a gap is committed by itself, and not again."""
    _, workers, _ = begin()
    feed.given.append(_entries(3, 4, 5))
    until(lambda: len(workers.taken) == 3)
    workers.settle((0, 5), (0, 3))
    until(lambda: feed.commits == [{0: 4}])
    workers.settle((0, 4))
    until(lambda: feed.commits == [{0: 4}, {0: 6}])
    polled = feed.polls
    until(lambda: feed.polls > polled + 10)
    assert len(feed.commits) == 2


def test_unordered_source_overlaps(feed, begin):
    """An unordered source has 50 deliveries under way at most, over all its partitions."""
    subscription, workers, _ = begin()
    feed.given += [_entries(*range(30), partition=each) for each in range(3)]
    until(lambda: len(workers.taken) == IN_FLIGHT and not feed.given)
    assert subscription.in_hand == IN_FLIGHT
    workers.settle(*workers.taken[:10])
    assert len(workers.taken) == IN_FLIGHT + 10


def test_ordered_source_takes_turns(feed, begin):
    """An ordered source delivers one entry of a partition at a time, all partitions at once."""
    _, workers, _ = begin(ordered=True)
    feed.given += [_entries(0, 1, 2, partition=each) for each in (4, 7)]
    until(lambda: sorted(workers.taken) == [(4, 0), (7, 0)])
    workers.settle((4, 0))
    assert workers.taken[2:] == [(4, 1)]
    workers.settle((7, 0), (7, 1))
    assert workers.taken[3:] == [(7, 1), (7, 2)]


def test_slow_function_stops_fetching(feed, begin):
    """Polling goes on while deliveries hang, but nothing more is fetched than may wait."""
    _, workers, _ = begin()
    feed.given.append(_entries(*range(IN_FLIGHT + 60)))
    until(lambda: feed.paused == {0})
    polled = feed.polls
    until(lambda: feed.polls > polled + 3)
    workers.settle(*list(workers.taken))
    until(lambda: feed.paused == frozenset())


def test_slow_partition_stops_alone(feed, begin):
    """Of an ordered source only the partition that is behind is not fetched from."""
    begin(ordered=True)
    feed.given += [_entries(*range(80), partition=2), _entries(0, partition=3)]
    until(lambda: feed.paused == {2})


def test_revoked_is_forgotten(feed, begin):
    """At a hand-over the settled offsets are given, and nothing is committed afterwards."""
    _, workers, _ = begin()
    feed.given += [_entries(0, 1), _entries(0, partition=1)]
    until(lambda: len(workers.taken) == 3)
    feed.commit = lambda offsets: feed.commits.append(dict(offsets))
    workers.settle((0, 0))
    assert feed.holder.give_up([0]) == {0: 1}
    polled = feed.polls
    until(lambda: feed.polls > polled + 1)
    feed.commits.clear()
    workers.settle((0, 1), (1, 0))
    until(lambda: feed.commits)
    assert all(set(offsets) == {1} for offsets in feed.commits)


def test_revoked_entries_are_dropped(feed, begin):
    """What waits for its turn when its partition goes is the next owner's to deliver."""
    _, workers, _ = begin(ordered=True)
    feed.given.append(_entries(0, 1, 2))
    until(lambda: workers.taken == [(0, 0)])
    feed.holder.give_up([0])
    workers.settle((0, 0))
    assert workers.taken == [(0, 0)]


def test_returning_entry_waits_for_itself(feed, begin):
    """A partition that comes back does not start again what is still being delivered."""
    _, workers, _ = begin(ordered=True)
    feed.given.append(_entries(0, 1))
    until(lambda: workers.taken == [(0, 0)])
    feed.holder.give_up([0])
    feed.given.append(_entries(0, 1))
    until(lambda: not feed.given)
    workers.settle((0, 0))
    until(lambda: workers.taken == [(0, 0), (0, 1)])
    workers.settle((0, 1))
    until(lambda: feed.commits and feed.commits[-1] == {0: 2})


def test_stop_commits_and_leaves(feed, begin):
    """A stop waits for what is under way, commits it, and then leaves the group."""
    subscription, workers, stopping = begin()
    feed.given.append(_entries(0, 1))
    until(lambda: len(workers.taken) == 2)
    stopping.set()
    workers.settle((0, 0))
    until(lambda: feed.commits == [{0: 1}])
    assert feed.closed_with is None
    feed.commit = lambda _: None
    workers.settle((0, 1))
    subscription.join(5)
    assert feed.closed_with == {0: 2}


def test_stop_leaves_unsettled(feed, begin):
    """What could not be settled before the end is not committed."""
    subscription, workers, stopping = begin()
    feed.given.append(_entries(0, 1))
    until(lambda: len(workers.taken) == 2)
    stopping.set()
    workers.leave((0, 0))
    workers.settle((0, 1))
    subscription.join(5)
    assert feed.closed_with == {}


def test_outage_is_told_once(feed, begin, caplog):
    """A log that stays away is one line, and one more when it is back."""
    subscription, _, _ = begin()
    until(lambda: subscription.is_reading)
    feed.fails = True
    until(lambda: not subscription.is_reading)
    polled = feed.polls
    until(lambda: feed.polls > polled + 1)
    feed.fails = False
    until(lambda: subscription.is_reading)
    assert caplog.messages == ["sentiment: Kafka is away: a test", "sentiment: goes on"]
