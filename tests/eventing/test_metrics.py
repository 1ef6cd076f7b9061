"""Holds the meters to names and labels that dashboards and alerts can rely on."""

from __future__ import annotations

from eventing.metrics import DispatcherMeters, Outcome, SinkMeters, Taking


def test_sources_begin_at_zero():
    """Every outcome of a source is there before it happens: a rate needs that."""
    meters = DispatcherMeters()
    meters.begin("sentiment")
    text = meters.text().decode()
    for outcome in ("delivered", "retried", "dead"):
        named = f'outcome="{outcome}",source="sentiment"'
        assert f"linewatch_deliveries_total{{{named}}} 0.0" in text


def test_dispatcher_counts():
    """Deliveries, their duration, lag and dead letters are counted per source."""
    meters = DispatcherMeters()
    meters.count("board-calls", Outcome.RETRIED)
    meters.took("board-calls", 0.3)
    meters.show("board-calls", 7, 2)
    text = meters.text().decode()
    assert 'linewatch_deliveries_total{outcome="retried",source="board-calls"} 1.0' in text
    assert 'linewatch_delivery_seconds_bucket{le="0.5",source="board-calls"} 1.0' in text
    assert 'linewatch_source_lag{source="board-calls"} 7.0' in text
    assert 'linewatch_source_dead_letters{source="board-calls"} 2.0' in text


def test_sink_counts():
    """What a sink took, refused and failed to write is counted per sink, from 0 on."""
    meters = SinkMeters()
    meters.begin("scores")
    meters.count("scores", Taking.TAKEN)
    text = meters.text().decode()
    assert 'linewatch_sink_events_total{outcome="taken",sink="scores"} 1.0' in text
    assert 'linewatch_sink_events_total{outcome="refused",sink="scores"} 0.0' in text
    assert 'linewatch_sink_events_total{outcome="failed",sink="scores"} 0.0' in text
