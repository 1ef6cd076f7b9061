"""Holds the leases to one drainer a partition, and to none undrained."""

from __future__ import annotations

import time

import pytest

from linewatch import keys
from linewatch.decoder.outbox.leases import Leases, share
from linewatch.eventlog.redis_writer import connect
from linewatch.events import PARTITIONS


@pytest.fixture(name="client")
def _client(redis_url):
    with connect(redis_url) as client:
        yield client


def test_abandoned_partition_is_taken(client):
    """A partition that no other pod takes is drained beyond the share, after a grace."""
    client.sadd(keys.PODS, "pod-idle")
    client.hset(keys.pod("pod-idle"), "address", "nobody")
    now_s = 0.0
    leases = Leases(client, "pod-a", lambda: now_s)
    leases.update()
    assert len(leases.held) == PARTITIONS // 2
    now_s = 1.6
    leases.update()
    assert leases.held == frozenset(range(PARTITIONS))


def test_dead_pods_take_nothing(client):
    """A pod whose own key is gone does not count when the partitions are shared."""
    client.sadd(keys.PODS, "pod-dead")
    leases = Leases(client, "pod-a", time.monotonic)
    leases.update()
    assert len(leases.held) == PARTITIONS


def test_foreign_lease_survives_release(client):
    """Releasing never deletes a lease that another pod took meanwhile."""
    leases = Leases(client, "pod-a", time.monotonic)
    leases.update()
    client.set(keys.outbox_lease(0), "pod-b")
    leases.release(leases.held)
    assert client.get(keys.outbox_lease(0)) == b"pod-b"
    assert not client.exists(keys.outbox_lease(1))


@pytest.mark.parametrize(("pods", "most"), [(0, 12), (1, 12), (2, 6), (5, 3), (13, 1)])
def test_share_covers_all_partitions(pods, most):
    """Shares are rounded up, so that together they are never too few."""
    assert share(pods) == most
    assert share(pods) * max(pods, 1) >= PARTITIONS
