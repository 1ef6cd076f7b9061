"""What the lines of a gateway count."""

from __future__ import annotations

import random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from linewatch.calls import CallStart, Channel, ChannelKey, Chunk, Codec, End, Gap, GapReason
from linewatch.gateway.line import Line
from linewatch.gateway.metrics import Metrics, Tally
from linewatch.gateway.sender import ChannelSender
from tests.linewatch.gateway.stand_in import Decoder

KEY = ChannelKey.of("default", "line-01-x", Channel.CUSTOMER)
START = CallStart("default", "line-01-x", "line-01", 1_700_000_000_000)
CHUNK_BYTES = 2000


@pytest.fixture(name="metrics")
def _metrics():
    return Metrics()


def _shown(metrics):
    return {
        sample.name.removeprefix("linewatch_line_"): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith("linewatch_line_") and not sample.labels
    }


def _counted(metrics):
    found = _shown(metrics)
    return tuple(int(found[f"{name}_total"]) for name in ("chunks", "resent", "lost_chunks"))


def _sender(decoder, metrics, **options):
    return ChannelSender(
        KEY,
        START.started_at_ms,
        Codec.PCMU,
        8000,
        decoder,
        stream="run-1",
        chance=random.Random(1),
        metrics=metrics,
        **options,
    )


def _pump(sender, limit=1000):
    for _ in range(limit):
        if sender.step() is None:
            return
    pytest.fail("the sender never came to rest")


def _chunk(seq):
    return Chunk(seq, seq * 100, "run-1", Codec.PCMU, 8000, b"x" * 100)


def test_taken_chunks_are_counted(metrics):
    """Every chunk that a decoder took counts once, its end not, and each answer is timed."""
    sender = _sender(Decoder(), metrics)
    sender.push(b"x" * 3 * CHUNK_BYTES)
    sender.finish()
    _pump(sender)
    assert _counted(metrics) == (3, 0, 0)
    assert _shown(metrics)["reply_seconds_count"] == 4


@pytest.mark.parametrize("fault", ["down", "lost", "503", "moved"])
def test_repeats_are_counted(metrics, fault):
    """A step that must be sent again counts as resent, and its chunk still counts once."""
    sender = _sender(Decoder(["ok", fault]), metrics)
    sender.push(b"x" * 3 * CHUNK_BYTES)
    _pump(sender)
    assert _counted(metrics) == (3, 1, 0)


def test_rewind_counts_chunks_once(metrics):
    """Chunks sent again to a decoder that forgot them count as resent, not as new."""
    sender = _sender(Decoder(["ok", "ok", "forget-2"]), metrics)
    sender.push(b"x" * 4 * CHUNK_BYTES)
    _pump(sender)
    chunks, resent, lost = _counted(metrics)
    assert (chunks, lost) == (4, 0)
    assert resent >= 2


def test_overrun_is_lost(metrics):
    """Chunks that fell out of the ring before any decoder had them are lost, each once."""
    decoder = Decoder(["lost"])
    sender = _sender(decoder, metrics, ring_s=1)
    sender.push(b"x" * 10 * CHUNK_BYTES)
    _pump(sender)
    assert _counted(metrics) == (4, 3, 6)


def test_skipped_audio_is_not_lost(metrics):
    """A pause that the phone told of is no loss."""
    sender = _sender(Decoder(), metrics)
    sender.push(b"x" * CHUNK_BYTES)
    sender.skip(8000, GapReason.PAUSED)
    sender.push(b"x" * CHUNK_BYTES)
    _pump(sender)
    assert _counted(metrics) == (2, 0, 0)


@pytest.mark.parametrize(
    ("fault", "finished", "lost"),
    [
        ("unauthorized", False, 3),
        ("unauthorized", True, 3),
        ("ended", False, 3),
        ("ended", True, 0),
        ("replaced", False, 0),
    ],
)
def test_given_up_chunks_are_lost(metrics, fault, finished, lost):
    """What waits when a channel cannot go on is lost; not what another sender or the end took."""
    sender = _sender(Decoder(["ok", fault]), metrics)
    sender.push(b"x" * 4 * CHUNK_BYTES)
    if finished:
        sender.finish()
    _pump(sender)
    assert _counted(metrics) == (1, 0, lost)


def test_abandoned_chunks_are_lost(metrics):
    """A sender stopped with chunks that wait has lost them; one that had sent all, nothing."""
    sender = _sender(Decoder(), metrics)
    sender.push(b"x" * 2 * CHUNK_BYTES)
    sender.abandon()
    assert _counted(metrics) == (0, 0, 2)
    done = _sender(Decoder(), metrics)
    done.push(b"x" * CHUNK_BYTES)
    done.finish()
    _pump(done)
    done.abandon()
    assert _counted(metrics) == (1, 0, 2)


def test_gap_told_twice_counts_once(metrics):
    """A gap that is told again, or grew, counts only what is new."""
    tally = Tally(metrics)
    for last in (3, 3, 5):
        tally.taken(Gap(0, last, 900, "run-1", GapReason.OVERRUN), last)
    tally.taken(End(5, "run-1"), 6)
    assert _counted(metrics) == (0, 0, 5)


def test_unanswered_step_is_timed(metrics):
    """A step that nobody answered is timed too: that is how long the line waited."""
    with pytest.raises(TimeoutError), Tally(metrics).sending(_chunk(0)):
        raise TimeoutError
    assert _shown(metrics)["reply_seconds_count"] == 1


def test_calls_going_on(metrics):
    """A call counts from its opening to its close, however often it is closed."""
    line = Line(
        START, (Channel.CUSTOMER,), Codec.PCMU, 8000, Decoder(), metrics=metrics, chunk_ms=250
    )
    assert _shown(metrics)["calls"] == 0
    line.open()
    assert _shown(metrics)["calls"] == 1
    line.push(Channel.CUSTOMER, b"x" * CHUNK_BYTES)
    assert line.close(60)
    line.close(60)
    assert _shown(metrics)["calls"] == 0
