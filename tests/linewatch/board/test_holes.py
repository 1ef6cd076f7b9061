"""What was not heard, held to a list of moments."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.board.holes import Holes
from linewatch.calls import GapReason
from tests.support.board_facts import AGENT, CUSTOMER, gap

GAPS = st.lists(
    st.builds(
        lambda begin, length, channel, reason: replace(
            gap(begin, begin + length, channel), reason=reason
        ),
        st.integers(0, 40),
        st.integers(0, 9),
        st.sampled_from([AGENT, CUSTOMER]),
        st.sampled_from([GapReason.LOST, GapReason.PAUSED]),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("gaps", "spans"),
    [
        ([(0, 10), (10, 20)], [(0, 20)]),
        ([(10, 20), (0, 10)], [(0, 20)]),
        ([(0, 10), (11, 20)], [(0, 10), (11, 20)]),
        ([(0, 10), (20, 30), (10, 20)], [(0, 30)]),
        ([(0, 30), (5, 6)], [(0, 30)]),
        ([(5, 6), (0, 30), (40, 50)], [(0, 30), (40, 50)]),
        ([(5, 5), (5, 9), (9, 9)], [(5, 9)]),
    ],
)
def test_touching_gaps_are_one(gaps, spans):
    """Gaps of one channel and reason that touch or overlap are one, in any order."""
    found = Holes.of([gap(*each) for each in gaps])
    assert [each[2:] for each in found.spans()] == spans
    assert (found.count, found.told) == (len(spans), len(gaps))


def test_others_stay_apart():
    """Gaps of two channels, or for two reasons, are two."""
    paused = replace(gap(10, 20), reason=GapReason.PAUSED)
    assert Holes.of([gap(0, 10), gap(10, 20, AGENT), paused]).count == 3


@given(GAPS, st.integers(0, 30), st.integers(0, 30))
def test_pieces_hold_no_hole(gaps, start_ms, length_ms):
    """What lies between the holes is every moment that lies in no gap, and no other."""
    end_ms = start_ms + length_ms
    pieces = list(Holes.of(gaps).between(start_ms, end_ms))
    assert pieces == sorted(pieces)
    heard = {ms for begin_ms, until_ms in pieces for ms in range(begin_ms, until_ms)}
    lost = {ms for each in gaps for ms in range(each.start_ms, each.end_ms)}
    assert heard == set(range(start_ms, end_ms)) - lost


@given(GAPS.flatmap(lambda gaps: st.tuples(st.just(gaps), st.permutations(gaps))))
def test_order_plays_no_part(several):
    """The same gaps in another order are the same holes, and so are those written and read."""
    in_order, shuffled = map(Holes.of, several)
    assert sorted(in_order.spans()) == sorted(shuffled.spans())
    assert Holes.unpacked(*in_order.packed()) == in_order


def test_two_thousand_are_small():
    """Two thousand holes take 22 kB of text."""
    holes = Holes.of(gap(i * 3000, i * 3000 + 250) for i in range(2000))
    told, texts = holes.packed()
    assert (told, [len(text) for text in texts.values()]) == (2000, [21336])


def test_silence_is_no_hole():
    """Where nothing was sent, and nothing is missing, nobody spoke: rules may count on it."""
    silent = replace(gap(10, 20), reason=GapReason.SILENT)
    assert list(Holes.of([silent]).between(0, 30)) == [(0, 30)]
    assert list(Holes.of([silent, gap(12, 14)]).between(0, 30)) == [(0, 12), (14, 30)]
