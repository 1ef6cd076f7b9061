"""Commits on a real Redis: the order of steps, their repeats and their conflicts."""

import pytest

from linewatch import keys
from linewatch.calls import End, EndReason, Gap, GapReason
from linewatch.decoder.store.answers import Committed
from tests.linewatch.decoder.pods import AGENT, chunk
from tests.linewatch.decoder.store.stored import edge, filled, opened


class TestCommit:
    """Appending one step."""

    def test_accepted_in_order(self, store):
        """The next step is appended and moves number and position on."""
        epoch = opened(store)
        receipt = store.commit(AGENT, epoch, chunk())
        assert receipt.state is Committed.ACCEPTED
        assert (receipt.next_seq, receipt.next_position, receipt.before) == (1, 2000, 0)
        receipt = store.commit(AGENT, epoch, Gap(1, 5, 9000, "s1", GapReason.LOST))
        assert (receipt.next_seq, receipt.next_position, receipt.before) == (5, 9000, 1)
        receipt = store.commit(AGENT, epoch, End(5, "s1"))
        assert (receipt.state, receipt.next_seq) == (Committed.ACCEPTED, 6)
        assert receipt.next_position == 9000

    def test_repeat_is_duplicate(self, store, client):
        """A step that came before is a duplicate and appends nothing."""
        epoch = filled(store, 3)
        receipt = store.commit(AGENT, epoch, chunk(1, 2000))
        assert (receipt.state, receipt.next_seq) == (Committed.DUPLICATE, 3)
        assert client.llen(keys.tail(AGENT)) == 3

    def test_other_bytes_conflict(self, store, client):
        """Other bytes under an old number are a conflict that changes nothing."""
        epoch = filled(store, 3)
        receipt = store.commit(AGENT, epoch, chunk(1, 2000, fill=5))
        assert (receipt.state, receipt.next_seq) == (Committed.CONFLICT, 3)
        assert client.llen(keys.tail(AGENT)) == 3

    @pytest.mark.parametrize(("back", "state"), [(128, "conflict"), (129, "duplicate")])
    def test_128_are_remembered(self, store, back, state):
        """The bytes of the last 128 steps are compared, of older ones no more."""
        epoch = filled(store, 130)
        seq = 130 - back
        assert store.commit(AGENT, epoch, chunk(seq, seq * 2000, fill=5)).state == state

    def test_repeated_gap_is_duplicate(self, store):
        """A gap told twice is taken once; another one in its place conflicts."""
        epoch = filled(store, 1)
        gap = Gap(1, 5, 9000, "s1", GapReason.LOST)
        store.commit(AGENT, epoch, gap)
        assert store.commit(AGENT, epoch, gap).state is Committed.DUPLICATE
        told_otherwise = Gap(1, 5, 9001, "s1", GapReason.LOST)
        assert store.commit(AGENT, epoch, told_otherwise).state is Committed.CONFLICT

    def test_early_step_is_gap(self, store):
        """A step beyond the next one is refused with the number that is due."""
        epoch = filled(store, 2)
        receipt = store.commit(AGENT, epoch, chunk(4, 8000))
        assert (receipt.state, receipt.next_seq, receipt.next_position) == (Committed.GAP, 2, 4000)

    def test_gap_overlaps_taken(self, store):
        """A gap that begins before the number that is due must be told anew from there."""
        epoch = filled(store, 2)
        receipt = store.commit(AGENT, epoch, Gap(1, 6, 9000, "s1", GapReason.LOST))
        assert (receipt.state, receipt.next_seq) == (Committed.GAP, 2)

    def test_old_position_is_refused(self, store):
        """The next number with a position more than a second back is refused."""
        epoch = filled(store, 5)
        receipt = store.commit(AGENT, epoch, chunk(5, 1999))
        assert (receipt.state, receipt.next_position) == (Committed.POSITION, 10_000)

    @pytest.mark.parametrize(
        ("position", "next_position", "kept"),
        [(9999, 11_999, 6), (8001, 10_001, 6), (8000, 10_000, 5), (2000, 10_000, 5)],
    )
    def test_overlap_is_taken(self, store, client, position, next_position, kept):
        """Up to a second heard before is taken; a chunk that adds nothing is not kept."""
        epoch = filled(store, 5)
        receipt = store.commit(AGENT, epoch, chunk(5, position))
        assert (receipt.state, receipt.next_seq) == (Committed.ACCEPTED, 6)
        assert receipt.next_position == next_position
        assert client.llen(keys.tail(AGENT)) == kept
        assert store.commit(AGENT, epoch, chunk(5, position)).state is Committed.DUPLICATE

    def test_gap_may_overlap(self, store):
        """A gap up to a second back leaves the position, one further back is refused."""
        epoch = filled(store, 5)
        receipt = store.commit(AGENT, epoch, Gap(5, 7, 2000, "s1", GapReason.LOST))
        assert (receipt.state, receipt.next_position) == (Committed.ACCEPTED, 10_000)
        receipt = store.commit(AGENT, epoch, Gap(7, 8, 1999, "s1", GapReason.LOST))
        assert (receipt.state, receipt.next_position) == (Committed.POSITION, 10_000)

    def test_later_position_is_taken(self, store):
        """The next number with a later position is taken: the session makes a gap of it."""
        epoch = filled(store, 1)
        assert store.commit(AGENT, epoch, chunk(1, 5000)).next_position == 7000

    @pytest.mark.parametrize("seq", [0, 1, 700])
    def test_new_stream_any_number(self, store, seq):
        """A sender that restarted goes on at any number, and the old one is stopped."""
        epoch = filled(store, 3)
        receipt = store.commit(AGENT, epoch, chunk(seq, 6000, stream="s2"))
        assert (receipt.state, receipt.next_seq) == (Committed.ACCEPTED, seq + 1)
        assert receipt.before == 3
        for late in (chunk(3, 6000), chunk(0, 0), End(3, "s1")):
            assert store.commit(AGENT, epoch, late).state is Committed.REPLACED

    def test_new_stream_old_position(self, store):
        """A sender that restarted more than a second back is refused."""
        epoch = filled(store, 5)
        receipt = store.commit(AGENT, epoch, chunk(0, 1999, stream="s2"))
        assert (receipt.state, receipt.next_position) == (Committed.POSITION, 10_000)
        assert store.peek(AGENT).stream == "s1"

    def test_new_stream_repeats(self, store):
        """The new stream's own repeats are duplicates, and conflicts where bytes differ."""
        epoch = filled(store, 3)
        for seq in (10, 11):
            store.commit(AGENT, epoch, chunk(seq, seq * 2000, stream="s2"))
        same, differs = (chunk(10, 20_000, stream="s2", fill=fill) for fill in (0, 5))
        assert store.commit(AGENT, epoch, same).state is Committed.DUPLICATE
        assert store.commit(AGENT, epoch, differs).state is Committed.CONFLICT

    def test_four_streams_are_remembered(self, store):
        """Four senders that were replaced stay replaced, however long their names."""
        epoch = filled(store, 1)
        names = [letter * 128 for letter in "abcd"]
        for number, name in enumerate([*names, "last"]):
            store.commit(AGENT, epoch, chunk(0, 2000 + 2000 * number, stream=name))
        for name in names:
            late = chunk(1, 99_000, stream=name)
            assert store.commit(AGENT, epoch, late).state is Committed.REPLACED

    def test_nothing_follows_the_end(self, store):
        """After the end, its repeat is a duplicate and everything else is told that it ended."""
        epoch = filled(store, 1)
        store.commit(AGENT, epoch, End(1, "s1"))
        store.pass_edge(AGENT, epoch, edge(drop=2, ended=True), "hangup")
        assert store.commit(AGENT, epoch, End(1, "s1")).state is Committed.DUPLICATE
        for late in (chunk(2, 2000), chunk(0, 2000, stream="s2"), chunk(1, 2000)):
            assert store.commit(AGENT, epoch, late).state is Committed.ENDED

    @pytest.mark.parametrize("late", [chunk(1, 2000), End(1, "s1")])
    def test_reaped_sender_is_told(self, store, late):
        """A sender that comes back after the reaper ended its channel is told so: no conflict."""
        epoch = filled(store, 1)
        store.commit(AGENT, epoch, End(1, "s1", EndReason.ABANDONED))
        store.pass_edge(AGENT, epoch, edge(drop=2, ended=True), "abandoned")
        assert store.commit(AGENT, epoch, late).state is Committed.ENDED

    def test_pause_is_noted(self, store):
        """A paused sender is known as such until its next step."""
        epoch = filled(store, 1)
        store.commit(AGENT, epoch, Gap(1, 2, 4000, "s1", GapReason.PAUSED))
        assert store.peek(AGENT).paused
        store.commit(AGENT, epoch, chunk(2, 4000))
        assert not store.peek(AGENT).paused

    def test_highest_numbers_survive(self, store):
        """Numbers up to 2^53 - 1 and positions up to 2^40 keep every digit in Lua."""
        epoch = filled(store, 1)
        seq, position = (1 << 53) - 2, (1 << 40) - 1
        receipt = store.commit(AGENT, epoch, Gap(1, seq, position, "s1", GapReason.LOST))
        assert (receipt.next_seq, receipt.next_position) == (seq, position)
        receipt = store.commit(AGENT, epoch, chunk(seq, position))
        assert (receipt.next_seq, receipt.next_position) == (seq + 1, position + 2000)
        assert store.peek(AGENT).next_seq == seq + 1
