"""Holds the matching of utterances with what came of them to the ids alone."""

from __future__ import annotations

import dataclasses

import pytest

from eventing.reconciliation.unmatched import Unmatched, highest, is_blank, lowest, name_of
from tests.eventing.said import entry, letter, score, utterance
from tests.eventing.subscriber import record, source


@pytest.mark.parametrize("suffix", ["scored", "scored-sentiment-v2", "scored-notebook"])
def test_score_matches_its_utterance(suffix):
    """A score has its utterance's name, whatever follows the first sample in its id."""
    said = name_of(entry(utterance("a", 3)))
    assert name_of(entry(score("a", 3, suffix=suffix))) == said
    assert name_of(entry(letter(source(), utterance("a", 3)))) == said


@pytest.mark.parametrize("other", [("a", 4), ("b", 3)])
def test_other_utterance_has_other_name(other):
    """Another call's utterance, or another one of the call, is not taken for it."""
    assert name_of(entry(score(*other))) != name_of(entry(utterance("a", 3)))


def test_name_keeps_its_parts_apart():
    """A source that ends as another id begins is another source."""
    made = utterance("a")
    first, second = (
        dataclasses.replace(made, headers={**made.headers, "ce_source": where, "ce_id": what})
        for where, what in ((b"/x1", b"2-final"), (b"/x", b"12-final"))
    )
    assert name_of(entry(first)) != name_of(entry(second))


def test_no_event_has_no_name():
    """What is no event cannot be compared; it is given up by its function, with a dead letter."""
    made = dataclasses.replace(utterance("a"), headers={})
    assert name_of(entry(made)) is None
    unmatched = Unmatched()
    unmatched.add(entry(made))
    assert not unmatched


@pytest.mark.parametrize(
    ("value", "blank"),
    [
        (b'{"text": ""}', True),
        (b'{"text": " \\n"}', True),
        (b'{"text": "yes"}', False),
        (b'{"text": null}', False),
        (b"{}", False),
        (b"[]", False),
        (b"\xff", False),
    ],
)
def test_blank_is_scored_by_nobody(value, blank):
    """An utterance without words gets no score; one that cannot be read is not blank."""
    made = entry(dataclasses.replace(utterance("a"), value=value))
    assert is_blank(made) == blank
    unmatched = Unmatched()
    unmatched.add(made)
    assert len(unmatched) == (not blank)


def test_seen_is_crossed_off():
    """What has a score or a dead letter is forgotten, and the rest keeps its place."""
    unmatched = Unmatched()
    for number in range(4):
        unmatched.add(entry(utterance("a", number), 2, 10 + number, 1_000 + number))
    unmatched.cross_off(entry(score("a", 0)))
    unmatched.cross_off(entry(letter(source(), utterance("a", 3))))
    unmatched.cross_off(entry(score("b", 1)))
    unmatched.cross_off(entry(record()))
    assert len(unmatched) == 2
    assert [*unmatched.spans()] == [(2, 11, 12)]
    assert unmatched.holds(entry(utterance("a", 1), 2, 11))
    assert not unmatched.holds(entry(utterance("a", 1), 2, 15))
    assert not unmatched.holds(entry(utterance("a", 0), 2, 10))


def test_repeat_counts_once():
    """An utterance that was written twice is one, since the first of its records."""
    unmatched = Unmatched(2)
    unmatched.add(entry(utterance("a"), 2, 10, 2_000))
    unmatched.add(entry(utterance("a"), 2, 11, 1_000))
    assert (len(unmatched), unmatched.is_full, unmatched.begin_ms) == (1, False, 1_000)
    unmatched.add(entry(utterance("b"), 2, 12, 3_000))
    assert unmatched.is_full


def test_batches_are_put_together():
    """What is left of several batches is compared as one, since the first of them."""
    left = Unmatched()
    for number, written_at_ms in ((0, 5_000), (1, 4_000), (2, 6_000)):
        batch = Unmatched()
        batch.add(entry(utterance("a", number), number % 2, number, written_at_ms))
        left.take(batch)
    left.take(Unmatched())
    assert (len(left), left.begin_ms) == (3, 4_000)
    assert [*left.spans()] == [(0, 0, 2), (1, 1, 1)]


def test_offsets_are_compared_by_partition():
    """Of two offsets of a partition the lower or the higher is taken; the first names which."""
    first, second = {0: 5, 1: 5, 2: 5}, {0: 3, 1: 9, 7: 1}
    assert lowest(first, second) == {0: 3, 1: 5, 2: 5}
    assert highest(first, second) == {0: 5, 1: 9, 2: 5}
