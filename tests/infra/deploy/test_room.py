"""Quantities, requests and the places for pods."""

from __future__ import annotations

import pytest

from infra.deploy.room import Room, amount, asked, room, unplaced, wanted
from tests.infra.deploy.played import deployment, ksvc, made, template

MIB = 1 << 20


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        *(("500m", 0.5), ("2", 2), (2, 2), ("0.1", 0.1), ("1e3", 1000)),
        *(("128Mi", 128 * MIB), ("1Gi", 1024 * MIB), ("1k", 1000), ("2M", 2_000_000)),
        *(("", 0), (None, 0)),
    ],
)
def test_quantities_are_numbers(quantity, number):
    """Every way in which Kubernetes writes a quantity is understood."""
    assert amount(quantity) == pytest.approx(number)


def test_largest_first_container_counts():
    """A pod asks for all its containers together, or for the largest that runs before them."""
    two = [{"resources": {"requests": {"cpu": "100m", "memory": "10Mi"}}}] * 2
    first = [{"resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}]
    assert asked({"containers": two, "initContainers": first}) == Room(1000, 20 * MIB)


def test_limit_is_a_request():
    """Where no request is set the limit is one."""
    container = {"resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Mi"}}}
    assert asked({"containers": [container]}) == Room(1000, MIB)


def test_each_pod_is_counted():
    """Replicas and min-scale make pods, a function at zero one, and a Job passes."""
    notes = {"metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "3"}}}
    decoder = ksvc("decoder")
    decoder["spec"]["template"] = {**template(), **notes}
    job = made("batch/v1", "Job", "topics", {"template": template()})
    cron = {"jobTemplate": {"spec": {"template": template()}}}
    missing = made("batch/v1", "CronJob", "missing", cron)
    objects = [deployment("two", 2), deployment("none", 0), decoder, ksvc("board"), job, missing]
    names = [name for name, _ in wanted(objects, Room(25))]
    assert names == ["two", "two", "decoder", "decoder", "decoder", "board", "missing"]


def test_sidecar_is_the_functions():
    """Only a pod of a function has a queue-proxy beside it."""
    pods = dict(wanted([ksvc("board"), deployment("one")], Room(25, MIB)))
    assert pods == {"board": Room(125, 65 * MIB), "one": Room(100, 64 * MIB)}


def test_sum_is_not_enough():
    """A pod fits on one node or on none: two halves are no place for it."""
    halves = [room({"cpu": "1", "memory": "1Gi"})] * 2
    assert unplaced([("large", Room(1500, 1))], halves) == ("large", Room(1500, 1))
    assert unplaced([("a", Room(900, 1)), ("b", Room(800, 1))], halves) is None


def test_memory_counts_too():
    """A pod that finds the CPU but not the memory has no place."""
    assert unplaced([("fat", Room(1, 2 * MIB))], [Room(1000, MIB)]) == ("fat", Room(1, 2 * MIB))
