"""The ring of steps and its send mark."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Chunk, Codec, End, Gap, GapReason
from linewatch.gateway.ring import Ring


def _chunk(seq, position, samples=100):
    return Chunk(seq, position, "s", Codec.PCMU, 8000, b"x" * samples)


def _filled(steps, span=1000, samples=100):
    ring = Ring("s", span)
    for seq in range(steps):
        ring.add(_chunk(seq, seq * samples, samples))
    return ring


def test_gives_steps_in_order():
    """What was added is due in order, and nothing is due after the last acknowledgement."""
    ring = _filled(3)
    seen = []
    while (step := ring.due()) is not None:
        seen.append(step.seq)
        ring.acknowledge(step.seq + 1)
    assert seen == [0, 1, 2]


def test_keeps_acknowledged_steps():
    """A decoder that rewinds gets again what it had acknowledged."""
    ring = _filled(5)
    ring.acknowledge(5)
    assert ring.rewind(2)
    assert ring.due() == _chunk(2, 200)


def test_lets_go_beyond_span():
    """No more than the span is held, and never less."""
    ring = _filled(25)
    assert (ring.first_seq, ring.next_seq) == (15, 25)


def test_tells_overrun_once_late():
    """Steps that were never acknowledged and are gone are an overrun up to the first held."""
    ring = _filled(25)
    assert ring.due() == Gap(0, 15, 1500, "s", GapReason.OVERRUN)


def test_slow_sender_tells_few_gaps():
    """A sender that cannot keep up lets go of long pieces: few gaps, not one for each chunk."""
    ring, gaps = Ring("s", 30_000), []
    for seq in range(2000):
        ring.add(_chunk(seq, seq * 250, 250))
        step = ring.due()
        if isinstance(step, Gap):
            gaps.append(step.position)
            ring.acknowledge(step.next_seq)
        elif seq % 2:
            ring.acknowledge(step.seq + 1)
    assert 2 < len(gaps) < 20
    assert all(after - before > 10_000 for before, after in pairwise(gaps[1:]))


def test_unanswered_gap_stays():
    """A gap that was not answered stays what it is while nothing is added."""
    ring = _filled(2000, span=30_000, samples=250)
    ring.acknowledge(ring.due().next_seq)
    for seq in range(2000, 2200):
        ring.add(_chunk(seq, seq * 250, 250))
    assert ring.due() == ring.due()


def test_outage_costs_what_it_must():
    """However often it was tried meanwhile, an outage costs only what the ring could not hold."""
    ring = _filled(120, span=30_000, samples=250)
    for seq in range(120, 200):
        ring.add(_chunk(seq, seq * 250, 250))
        gap = ring.due()
    assert gap == Gap(0, 80, 20_000, "s", GapReason.OVERRUN)


def test_tells_lost_after_rewind():
    """Steps that were acknowledged, asked for again and gone are lost."""
    ring = _filled(25)
    ring.acknowledge(25)
    ring.rewind(3)
    assert ring.due() == Gap(3, 15, 1500, "s", GapReason.LOST)


def test_refuses_numbers_never_given():
    """A decoder that asks for a number beyond the newest step speaks of another sender."""
    ring = _filled(3)
    assert not ring.rewind(4)
    assert not ring.acknowledge(-1)
    assert ring.mark == 0


def test_starts_where_resumed():
    """A ring may begin at any number and position."""
    ring = Ring("s", 1000, seq=7, position=700)
    assert ring.due() is None
    ring.add(_chunk(7, 700))
    assert ring.due() == _chunk(7, 700)


def test_long_pause_evicts_nothing():
    """A pause of an hour takes no room from the audio before it."""
    ring = _filled(5)
    ring.add(Gap(5, 6, 500 + 3600 * 8000, "s", GapReason.PAUSED))
    assert ring.first_seq == 0


def test_end_needs_no_room():
    """The end of a call evicts no audio."""
    ring = _filled(10)
    ring.add(End(10, "s"))
    assert ring.first_seq == 0


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    asks=st.lists(st.integers(0, 60), max_size=30),
)
def test_due_always_joins(sizes, asks):
    """Whatever is asked for, what is due begins at the mark, and its position fits."""
    ring = Ring("s", 1000)
    position, starts = 0, []
    for seq, size in enumerate(sizes):
        starts.append(position)
        ring.add(_chunk(seq, position, size))
        position += size
    for ask in asks:
        moved = ring.rewind(ask)
        assert moved == (ask <= len(sizes))
        due = ring.due()
        if isinstance(due, Gap):
            assert due.from_seq == ring.mark < due.next_seq == ring.first_seq
            assert due.position == starts[due.next_seq]
        elif due is not None:
            assert (due.seq, due.position) == (ring.mark, starts[ring.mark])
    held = sum(sizes[ring.first_seq :])
    assert held >= min(1000, sum(sizes))
    assert held - sizes[ring.first_seq] < 1000


def test_begins_with_audio():
    """To make a channel the oldest held chunk is due, however late, until it is told what is."""
    ring = Ring("s", 1000)
    ring.add(Gap(0, 1, 800, "s", GapReason.PAUSED))
    assert not ring.begin_with_audio()
    assert ring.due() == Gap(0, 1, 800, "s", GapReason.PAUSED)
    ring.add(_chunk(1, 800))
    assert ring.begin_with_audio()
    for seq in range(2, 30):
        ring.add(_chunk(seq, 700 + 100 * seq))
        assert ring.due().seq == ring.first_seq + (ring.first_seq == 0)
    ring.rewind(0)
    assert ring.due() == Gap(0, 20, 2700, "s", GapReason.OVERRUN)
