"""Prometheus' text format."""

from __future__ import annotations

import os

from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from linewatch.serving import metrics_text


def _samples(text):
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_process_tells_of_itself():
    """Every role tells its process's CPU and memory beside what it counts."""
    counted = metrics_text.registry()
    Counter("things", "Things", registry=counted).inc(3)
    found = _samples(metrics_text.text(counted))
    assert found["things_total"] == 3
    assert found["process_cpu_seconds_total"] <= sum(os.times()[:2]) + 1
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_registries_are_apart():
    """Two registries may hold the same names: nothing is counted process-wide."""
    first, second = metrics_text.registry(), metrics_text.registry()
    Counter("things", "Things", registry=first).inc()
    Counter("things", "Things", registry=second)
    assert _samples(metrics_text.text(second))["things_total"] == 0
