"""Holds the ledger to committing nothing that is not settled, and all that is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventing.delivery.ledger import Ledger


def _ledger(*offsets):
    ledger = Ledger()
    for offset in offsets:
        ledger.take(offset)
    return ledger


def test_nothing_taken_nothing_due():
    """Before anything was settled there is nothing to commit."""
    assert Ledger().due is None
    assert _ledger(5, 6).due is None


def test_gap_holds_commit_back():
    """An entry that is not settled keeps everything after it uncommitted."""
    ledger = _ledger(5, 6, 7)
    ledger.settle(6)
    ledger.settle(7)
    assert ledger.due is None
    ledger.settle(5)
    assert ledger.due == 8


def test_missing_offsets_are_no_gap():
    """Offsets that Kafka never gives (they are its own) hold nothing back."""
    ledger = _ledger(5, 9)
    ledger.settle(5)
    assert ledger.due == 6
    ledger.settle(9)
    assert ledger.due == 10


def test_committed_is_not_due():
    """What Kafka keeps is not committed again, until more is settled."""
    ledger = _ledger(5, 6)
    ledger.settle(5)
    ledger.commit(6)
    assert ledger.due is None
    ledger.settle(6)
    assert ledger.due == 7


def test_early_settlement_counts_for_nothing():
    """A delivery of an earlier ownership, below what was taken since, changes nothing."""
    ledger = _ledger(5, 6)
    ledger.settle(4)
    assert ledger.due is None
    ledger.settle(5)
    assert ledger.due == 6


@given(st.sets(st.integers(0, 60), min_size=1), st.randoms(use_true_random=False))
def test_due_is_lowest_unsettled(offsets, random):
    """In whatever order entries settle, what is due is always one past the settled beginning."""
    order = sorted(offsets)
    ledger = _ledger(*order)
    settled = set()
    for offset in random.sample(order, len(order)):
        ledger.settle(offset)
        settled.add(offset)
        begin = [each for at, each in enumerate(order) if set(order[: at + 1]) <= settled]
        assert ledger.due == (begin[-1] + 1 if begin else None)
