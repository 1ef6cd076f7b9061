"""What a decoder counts."""

from prometheus_client.parser import text_string_to_metric_families

from linewatch.calls import GapReason
from linewatch.decoder.metrics import Metrics


def test_text_can_be_parsed():
    """The text is Prometheus' format and names everything that is counted."""
    metrics = Metrics()
    metrics.steps.inc(3)
    metrics.sessions.set(2)
    metrics.commit_s.observe(0.0004)
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.text().decode())
    }
    assert families["linewatch_decoder_steps"].samples[0].value == 3
    assert families["linewatch_decoder_sessions"].samples[0].value == 2
    assert families["linewatch_decoder_commit_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())


def test_board_gets_whole_numbers():
    """The board is shown this pod's counters as whole numbers."""
    metrics = Metrics()
    metrics.steps.inc(7)
    metrics.forwards.inc()
    assert metrics.shown() == {
        "chunks": 7,
        "forwards": 1,
        "adoptions": 0,
        "undecodable": 0,
    }


def test_gap_reasons_begin_at_zero():
    """Every reason of a gap is shown from the start, so that the first gap is a rise."""
    metrics = Metrics()
    metrics.gaps.labels("lost").inc()
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.text().decode())
    }
    shown = {
        sample.labels["reason"]: sample.value
        for sample in families["linewatch_decoder_gaps"].samples
        if sample.name.endswith("_total")
    }
    assert shown == dict.fromkeys(GapReason, 0) | {"lost": 1}


def test_processes_are_apart():
    """Two decoders in one process do not count into each other."""
    first, second = Metrics(), Metrics()
    first.steps.inc()
    assert second.shown()["chunks"] == 0
