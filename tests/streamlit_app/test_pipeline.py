"""The foot of the page: what runs, what waits, what was given up."""

from __future__ import annotations

from linewatch.board.rows import DecoderHealth, FunctionHealth, Health
from streamlit_app import pipeline


def decoder(pod, sessions, capacity=40, undecodable=0):
    """One decoder's report."""
    return DecoderHealth(pod, sessions, capacity, 10, 1200, 2, undecodable)


def test_no_replicas_read_zero():
    """A function scaled to zero shows 0 replicas and its cold starts."""
    health = Health(functions=(FunctionHealth("board", 1, 1), FunctionHealth("sentiment", 0, 3)))
    board, sentiment = pipeline.functions(health)

    assert (sentiment.value, sentiment.note) == ("0 replicas", "3 cold starts")
    assert (board.value, board.note) == ("1 replica", "1 cold start")
    assert not sentiment.bad


def test_decoder_load_has_bar():
    """Each decoder shows its sessions of its capacity, forwards and adoptions."""
    second, first = decoder("b", 50), decoder("a", 10)
    one, two = pipeline.decoders(Health(decoders=(second, first)))

    assert (one.label, one.value, one.percent) == ("a", "10/40", 25)
    assert one.note == "1,200 forwarded · 2 adopted"
    assert two.percent == 100


def test_undecodable_audio_is_marked():
    """A decoder that gave audio up is marked and says how often."""
    (one,) = pipeline.decoders(Health(decoders=(decoder("a", 1, capacity=0, undecodable=3),)))

    assert one.bad
    assert one.note.endswith("3 undecodable")


def test_missing_reports_are_told():
    """A part that does not report is not shown as a healthy zero."""
    empty = Health()

    assert [each.value for each in pipeline.functions(empty)] == ["not reporting"]
    assert [each.value for each in pipeline.decoders(empty)] == ["none alive"]
    lag, dead, *_ = pipeline.delivery(empty)
    assert (lag.value, dead.value, lag.bad, dead.bad) == (
        "not reporting",
        "not reporting",
        True,
        True,
    )


def test_dead_letters_are_marked():
    """Dead letters are counted by source and marked, a lag is only counted."""
    lag, dead, outbox, store = pipeline.delivery(
        Health(
            lag={"scores": 2, "calls": 0},
            dead_letters={"scores": 1, "calls": 0},
            outbox=1500,
            store_used_pct=12.4,
        )
    )

    assert (lag.value, lag.note, lag.bad) == ("2", "scores 2", False)
    assert (dead.value, dead.note, dead.bad) == ("1", "scores 1", True)
    assert (outbox.value, store.value, store.bad) == ("1,500", "12 %", False)


def test_full_store_is_marked():
    """A store that is about to refuse calls is marked."""
    assert pipeline.delivery(Health(store_used_pct=80.0))[-1].bad
