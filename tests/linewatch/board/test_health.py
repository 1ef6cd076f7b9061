"""The pipeline's health is what its parts report, and 0 where they are silent."""

from __future__ import annotations

import pytest

from linewatch.board.health import gather, used_pct
from linewatch.board.rows import DecoderHealth, FunctionHealth


def _gather(**reports):
    silent = {"pods": {}, "functions": {}, "dispatcher": {}, "outbox": [], "memory": {}}
    return gather(**silent | reports)


def test_decoders_are_listed():
    """Every decoder with a lease is listed with its counters; a pod that is gone is not."""
    report = {"address": "10.0.0.1:8080", "sessions": "3", "capacity": "9", "forwards": "7"}
    health = _gather(pods={"b": report, "a": {"chunks": "5"}, "gone": {}})
    assert [each.pod for each in health.decoders] == ["a", "b"]
    assert health.decoders[1] == DecoderHealth("b", 3, 9, 0, 7, 0, 0)


def test_zero_replicas_are_shown():
    """A function at 0 replicas is listed as 0, not left out."""
    report = {"sentiment.replicas": "1", "board.replicas": "0", "board.cold_starts": "2"}
    assert _gather(functions=report).functions == (
        FunctionHealth("board", 0, 2),
        FunctionHealth("sentiment", 1, 0),
    )


def test_lag_is_by_source():
    """Lag and dead letters are told apart and named by their source."""
    health = _gather(dispatcher={"lag.scores": "4", "dead.scores": "1", "lag.calls": "0"})
    assert (health.lag, health.dead_letters) == ({"calls": 0, "scores": 4}, {"scores": 1})


def test_outbox_is_summed():
    """What waits in all partitions is one number."""
    assert _gather(outbox=[1, 0, 4]).outbox == 5


def test_oldest_is_by_source():
    """When the oldest event that waits was written is named by its source, where one waits."""
    report = {"oldest.scores": "1700", "oldest.calls": "0"}
    health = _gather(dispatcher=report, first_at_ms=1600)
    assert health.oldest_at_ms == {"scores": 1700, "outbox": 1600}
    assert _gather(dispatcher=report).oldest_at_ms == {"scores": 1700}


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({"used_memory": 10, "maxmemory": 40}, 25.0),
        ({"used_memory": 10, "maxmemory": 0}, 0.0),
        ({}, 0.0),
    ],
)
def test_memory_needs_limit(memory, expected):
    """Without a limit no share of it is used."""
    assert used_pct(memory) == expected


def test_odd_reports_count_nothing():
    """A report that is no number counts as 0 and breaks nothing."""
    health = _gather(pods={"a": {"sessions": "many"}}, functions={"x": "1"})
    assert health.decoders[0].sessions == 0
    assert health.functions == ()
