"""Sessions, calls and pods on a real Redis: the fence, the edges, the lives of keys."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from linewatch import keys
from linewatch.calls import (
    CallStart,
    Channel,
    ChannelKey,
    End,
    EndReason,
    Gap,
    GapReason,
    Missing,
    Utterance,
    Word,
)
from linewatch.decoder.recognition.session import Checkpoint, Edge
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store import store as module
from linewatch.decoder.store.answers import Claimed, Committed, Owner, Pod
from linewatch.decoder.store.store import Store
from linewatch.errors import NewerCheckpoint, StoreUnavailable
from linewatch.events import partition_of
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    NOW_MS,
    START,
    STARTED_AT_MS,
    chunk,
    outbox,
    told,
)
from tests.support.decoders import eventually


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(name="store")
def _store(redis_url):
    return living(redis_url, "pod-a")


@pytest.fixture(name="other")
def _other(redis_url):
    return living(redis_url, "pod-b")


def living(redis_url, name):
    """Return the store of a pod whose lease does not end by itself."""
    store = Store.from_url(redis_url, name)
    store.renew({"address": f"http://{name}", "sessions": 3, "capacity": 60})
    with redis.Redis.from_url(redis_url) as client:
        client.persist(keys.pod(name))
    return store


def opened(store, key=AGENT, rate_hz=8000):
    """Make a session and return its epoch."""
    claim = store.claim(key, START, rate_hz=rate_hz)
    assert claim.state is Claimed.CREATED
    return claim.stored.epoch


def filled(store, count, key=AGENT):
    """Make a session with *count* chunks of 2000 samples in its tail; return its epoch."""
    epoch = opened(store, key)
    for number in range(count):
        receipt = store.commit(key, epoch, chunk(number, number * 2000))
        assert receipt.state is Committed.ACCEPTED
    return epoch


def said(index=0, first_sample=0, text="good morning", key=AGENT):
    """Return an utterance of one word."""
    words = (Word(text, 100, 900, 0.5),)
    return Utterance(key, STARTED_AT_MS, index, first_sample, 100, 900, text, words, "d1")


def edge(edges=1, *, drop=1, at=2000, utterance=None, missing=None, ended=False):
    """Return the edge after which *edges* are passed."""
    index = 1 if utterance else 0
    return Edge(Checkpoint(at, at, edges, index), utterance, missing, drop, ended)


class TestClaim:
    """Whose session it is."""

    def test_absent_without_start(self, store, client):
        """Without a start nothing is made."""
        assert store.claim(AGENT).state is Claimed.ABSENT
        assert not client.exists(keys.session(AGENT), keys.SESSIONS)

    def test_created_with_start(self, store, redis_url):
        """With a start the session is made, is ours in epoch 1, and call.started is told."""
        claim = store.claim(AGENT, START, rate_hz=16_000)
        assert claim.state is Claimed.CREATED
        assert claim.stored.epoch == 1
        assert (claim.stored.next_seq, claim.stored.next_position) == (0, 0)
        assert (claim.stored.rate_hz, claim.stored.started_at_ms) == (16_000, STARTED_AT_MS)
        assert claim.stored.checkpoint == Checkpoint()
        assert told(redis_url) == [
            ("linewatch.call.started.v1", "/tenants/default/calls/c1", "started")
        ]

    def test_started_told_once(self, store, redis_url):
        """The second channel of a call tells no second start and shares the first one's time."""
        opened(store)
        late = CallStart("default", "c1", "line-1", STARTED_AT_MS + 5000)
        assert store.claim(CUSTOMER, late, rate_hz=8000).stored.started_at_ms == STARTED_AT_MS
        assert len(told(redis_url, "started")) == 1

    def test_owned_by_living(self, store, other):
        """A session of a living pod names its owner, epoch and address, and stays as it is."""
        opened(store)
        claim = other.claim(AGENT, START)
        assert claim.state is Claimed.OWNED
        assert claim.owner == Owner("pod-a", 1, "http://pod-a")
        assert claim.stored is None
        assert store.peek(AGENT).epoch == 1

    def test_own_is_taken_anew(self, store):
        """Its owner may claim it again: the epoch rises, the tail comes back, nobody died."""
        filled(store, 2)
        claim = store.claim(AGENT)
        assert claim.state is Claimed.ADOPTED
        assert (claim.stored.epoch, claim.stored.attempts) == (2, 0)
        assert claim.tail == (chunk(0, 0), chunk(1, 2000))

    def test_dead_owner_is_succeeded(self, store, other):
        """When the owner's lease is gone the session is adopted, and one death is counted."""
        filled(store, 2)
        store.retire()
        claim = other.claim(AGENT)
        assert claim.state is Claimed.ADOPTED
        assert (claim.stored.epoch, claim.stored.attempts) == (2, 1)
        assert claim.tail == (chunk(0, 0), chunk(1, 2000))

    def test_released_counts_no_death(self, store, other):
        """A session that was given up is adopted without a death."""
        epoch = filled(store, 1)
        store.release(AGENT, epoch)
        claim = other.claim(AGENT)
        assert claim.state is Claimed.ADOPTED
        assert (claim.stored.epoch, claim.stored.attempts) == (2, 0)

    def test_moves_are_counted(self, store, other, client):
        """Every change of a session's owner is counted; what its owner takes anew is none."""
        epoch = opened(store)
        assert store.claim(AGENT).stored.moves == 0
        store.release(AGENT, epoch + 1)
        assert other.claim(AGENT).stored.moves == 1
        other.retire()
        assert store.claim(AGENT).stored.moves == 2
        client.hdel(keys.session(AGENT), "moves")
        assert store.peek(AGENT).moves == 0, "a session of an older version has no count"

    def test_owned_while_owner_lives(self, store, other):
        """A session is owned from its first claim until it is given up or its pod is gone."""
        assert not other.is_owned(AGENT)
        epoch = filled(store, 1)
        assert other.is_owned(AGENT)
        store.release(AGENT, epoch)
        assert not other.is_owned(AGENT)
        store.claim(AGENT)
        assert other.is_owned(AGENT)
        store.retire()
        assert not other.is_owned(AGENT)

    def test_unreachable_owner_is_succeeded(self, store, other):
        """An owner named as unreachable loses the session though its lease lives."""
        opened(store)
        owner = other.claim(AGENT).owner
        claim = other.claim(AGENT, dead=owner)
        assert claim.state is Claimed.ADOPTED
        assert claim.stored.attempts == 1

    @pytest.mark.parametrize("dead", [("pod-a", 7), ("pod-c", 1), ("pod-a", -1)])
    def test_stale_word_adopts_nothing(self, store, other, dead):
        """Who names another owner or epoch than the store holds adopts nothing."""
        opened(store)
        assert other.claim(AGENT, dead=Owner(*dead, "http://x")).state is Claimed.OWNED

    def test_suspect_after_death(self, store, other, redis_url):
        """A tail whose last adopter died unproven is a suspect, taken only by who asks for it."""
        opened(store)
        store.retire()
        other.claim(AGENT)
        other.retire()
        third = living(redis_url, "pod-c")
        assert third.claim(AGENT).state is Claimed.SUSPECT
        claim = third.claim(AGENT, suspect=True)
        assert (claim.state, claim.stored.attempts) == (Claimed.ADOPTED, 2)

    def test_proven_is_no_suspect(self, store, other, redis_url):
        """A tail that was decoded without harm is no suspect when its owner dies of another."""
        opened(store)
        store.retire()
        other.prove(AGENT, other.claim(AGENT).stored.epoch)
        other.retire()
        claim = living(redis_url, "pod-c").claim(AGENT)
        assert (claim.state, claim.stored.attempts) == (Claimed.ADOPTED, 1)

    def test_newer_is_refused(self, store, client):
        """A session written by newer code is left alone with 503."""
        opened(store)
        client.hset(keys.session(AGENT), "version", 2)
        with pytest.raises(NewerCheckpoint, match="version 2"):
            store.claim(AGENT)
        assert store.peek(AGENT).epoch == 1

    def test_closed_call(self, store):
        """A call that ended gives no session away, and shows what is left of it."""
        epoch = filled(store, 1)
        store.commit(AGENT, epoch, End(1, "s1"))
        store.pass_edge(AGENT, epoch, edge(drop=2, ended=True), "hangup")
        assert store.close("default", "c1", NOW_MS)
        claim = store.claim(AGENT, START)
        assert claim.state is Claimed.CLOSED
        assert claim.stored.ended == "hangup"
        assert store.claim(CUSTOMER, START).state is Claimed.CLOSED
        assert store.claim(CUSTOMER, START).stored is None


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
        """The next number with a position already heard is refused."""
        epoch = filled(store, 2)
        receipt = store.commit(AGENT, epoch, chunk(2, 3999))
        assert (receipt.state, receipt.next_position) == (Committed.POSITION, 4000)

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
        """A sender that restarted with a position already heard is refused."""
        epoch = filled(store, 3)
        receipt = store.commit(AGENT, epoch, chunk(0, 5999, stream="s2"))
        assert (receipt.state, receipt.next_position) == (Committed.POSITION, 6000)
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
        assert store.waiting(AGENT).paused
        store.commit(AGENT, epoch, chunk(2, 4000))
        assert not store.waiting(AGENT).paused

    def test_highest_numbers_survive(self, store):
        """Numbers up to 2^53 - 1 and positions up to 2^40 keep every digit in Lua."""
        epoch = filled(store, 1)
        seq, position = (1 << 53) - 2, (1 << 40) - 1
        receipt = store.commit(AGENT, epoch, Gap(1, seq, position, "s1", GapReason.LOST))
        assert (receipt.next_seq, receipt.next_position) == (seq, position)
        receipt = store.commit(AGENT, epoch, chunk(seq, position))
        assert (receipt.next_seq, receipt.next_position) == (seq + 1, position + 2000)
        assert store.peek(AGENT).next_seq == seq + 1


class TestEdge:
    """Moving past an edge."""

    def test_everything_at_once(self, store, client, redis_url):
        """An edge moves the checkpoint, cuts the tail, keeps the final and tells the events."""
        epoch = filled(store, 3)
        missing = Missing(AGENT, STARTED_AT_MS, 2000, 250, 500, GapReason.LOST)
        passed = edge(drop=2, at=4000, utterance=said(), missing=missing)
        assert store.pass_edge(AGENT, epoch, passed)
        stored = store.peek(AGENT)
        assert stored.checkpoint == Checkpoint(4000, 4000, 1, 1)
        assert packed_steps.unpack(client_bytes(redis_url, keys.tail(AGENT))[0]) == chunk(2, 4000)
        assert [final["text"] for final in store.finals(AGENT, -1)] == ["good morning"]
        assert [row[::2] for row in told(redis_url)[1:]] == [
            ("linewatch.utterance.final.v1", "0-final"),
            ("linewatch.call.gap.v1", "2000-gap"),
        ]

    def test_events_go_by_call(self, store, client):
        """The events lie in the outbox partition of their call."""
        epoch = filled(store, 1)
        store.pass_edge(AGENT, epoch, edge(utterance=said()))
        assert client.xlen(keys.outbox(partition_of("c1"))) == 2

    def test_same_edge_twice(self, store, redis_url):
        """An edge that is committed already is not told again."""
        epoch = filled(store, 2)
        assert store.pass_edge(AGENT, epoch, edge(utterance=said()))
        assert store.pass_edge(AGENT, epoch, edge(utterance=said()))
        assert len(told(redis_url, "final")) == 1
        assert len(store.finals(AGENT, -1)) == 1

    def test_rewound_store_refuses(self, store, redis_url):
        """An edge beyond the next one tells that the store was rewound: nothing of it lands."""
        epoch = filled(store, 2)
        assert not store.pass_edge(AGENT, epoch, edge(3, utterance=said()))
        assert told(redis_url, "final") == []
        assert store.peek(AGENT).checkpoint == Checkpoint()

    def test_edge_proves_the_tail(self, store, other):
        """Whoever passes an edge has survived the tail: deaths are counted anew."""
        filled(store, 2)
        store.retire()
        epoch = other.claim(AGENT).stored.epoch
        assert other.peek(AGENT).attempts == 1
        other.pass_edge(AGENT, epoch, edge())
        assert other.peek(AGENT).attempts == 0

    def test_64_finals_are_kept(self, store):
        """The last 64 finals answer late repeats."""
        epoch = filled(store, 1)
        for number in range(66):
            passed = edge(number + 1, drop=0, utterance=said(number, number * 10))
            store.pass_edge(AGENT, epoch, passed)
        found = store.finals(AGENT, -1)
        assert [final["index"] for final in found] == list(range(2, 66))
        assert [final["index"] for final in store.finals(AGENT, 630)] == [64, 65]

    def test_final_as_replies_show(self, store):
        """A kept final holds what a reply shows and nothing of its origin."""
        epoch = filled(store, 1)
        store.pass_edge(AGENT, epoch, edge(utterance=said()))
        (final,) = store.finals(AGENT, -1)
        assert json.loads(json.dumps(final)) == {
            "index": 0,
            "first_sample": 0,
            "start_ms": 100,
            "end_ms": 900,
            "text": "good morning",
            "words": [{"text": "good morning", "start_ms": 100, "end_ms": 900, "confidence": 0.5}],
        }


def client_bytes(redis_url, name):
    """Return a list's raw items."""
    with redis.Redis.from_url(redis_url) as client:
        return client.lrange(name, 0, -1)


UNFENCED = {
    # What commit.lua and edge.lua would be without the epoch and without compare-and-set.
    "commit": """
redis.call('RPUSH', KEYS[2], ARGV[8])
redis.call('HSET', KEYS[1], 'next_seq', ARGV[5], 'next_position', ARGV[7])
return {'accepted', tonumber(ARGV[5]), tonumber(ARGV[7]), 0}
""",
    "edge": """
redis.call('LTRIM', KEYS[2], ARGV[6], -1)
redis.call('HSET', KEYS[1], 'first_sample', ARGV[3], 'edge_sample', ARGV[4],
  'edges', ARGV[2] + 1, 'index', ARGV[5])
local at = 11
while ARGV[at] ~= '-1' do at = at + 1 end
redis.call('XADD', KEYS[5], '*', unpack(ARGV, at + 1))
return 'passed'
""",
}


def unfenced(store, redis_url):
    """Take the fence away from a store."""
    with redis.Redis.from_url(redis_url) as client:
        scripts = {name: client.register_script(text) for name, text in UNFENCED.items()}
    for script in scripts.values():
        script.registered_client = store._redis
    store._scripts.known |= scripts
    return store


class TestFence:
    """A zombie against its successor, with and without the fence."""

    def zombie_story(self, owner, successor):
        """*owner* stops after two chunks; *successor* goes on; then *owner* wakes up."""
        epoch = filled(owner, 2)
        owner.retire()
        claim = successor.claim(AGENT)
        successor.commit(AGENT, claim.stored.epoch, chunk(2, 4000))
        successor.pass_edge(AGENT, claim.stored.epoch, edge(drop=2, at=4000, utterance=said()))
        commits = owner.commit(AGENT, epoch, chunk(2, 4000))
        edges = owner.pass_edge(AGENT, epoch, edge(drop=2, at=4000, utterance=said(text="zombie")))
        return commits.state, edges

    def test_zombie_is_refused(self, store, other, redis_url):
        """After an adoption the old owner's chunk and edge are refused, and nothing lands."""
        state, passed = self.zombie_story(store, other)
        assert (state, passed) == (Committed.MOVED, False)
        tail = [packed_steps.unpack(each) for each in client_bytes(redis_url, keys.tail(AGENT))]
        assert tail == [chunk(2, 4000)]
        assert other.peek(AGENT).next_seq == 3
        assert not any(b"zombie" in value for row in outbox(redis_url) for _, value in row)
        assert len(told(redis_url, "final")) == 1

    def test_unfenced_loses_and_doubles(self, store, other, redis_url):
        """Without the fence the same story loses a chunk and tells an utterance twice."""
        state, passed = self.zombie_story(unfenced(store, redis_url), unfenced(other, redis_url))
        assert (state, passed) == (Committed.ACCEPTED, True)
        assert client_bytes(redis_url, keys.tail(AGENT)) == []
        told_of = told(redis_url, "final")
        assert len(told_of) == 2 != len(set(told_of))

    @pytest.mark.parametrize("act", ["prove", "release"])
    def test_zombie_changes_no_owner(self, store, other, act):
        """Proving and releasing are fenced too."""
        epoch = filled(store, 1)
        store.retire()
        other.claim(AGENT)
        getattr(store, act)(AGENT, epoch)
        assert other.peek(AGENT).attempts == 1
        assert store.claim(AGENT).owner == Owner("pod-b", 2, "http://pod-b")


def ended(store, key, reason="hangup", chunks=1):
    """Fill a channel and end it."""
    epoch = filled(store, chunks, key)
    store.commit(key, epoch, End(chunks, "s1", EndReason(reason)))
    store.pass_edge(key, epoch, edge(drop=chunks + 1, utterance=said(key=key), ended=True), reason)


class TestClose:
    """Closing a call."""

    def test_close_tells_counts_once(self, store, redis_url):
        """A call is closed once, with what was counted over all its channels."""
        ended(store, AGENT, chunks=3)
        ended(store, CUSTOMER, chunks=2)
        assert store.close("default", "c1", NOW_MS)
        assert not store.close("default", "c1", NOW_MS)
        (found,) = [dict(row) for row in outbox(redis_url) if dict(row)[b"ce_id"] == b"ended"]
        data = json.loads(found[b"value"])
        assert {name: data[name] for name in ("reason", "chunks", "utterances", "gaps")} == {
            "reason": "hangup", "chunks": 5, "utterances": 2, "gaps": 0,
        }  # fmt: skip
        assert found[b"ce_time"].startswith(b"2026-01-01T00:00:00.75")

    def test_one_abandoned_channel(self, store, redis_url):
        """One abandoned channel makes the call an abandoned one."""
        ended(store, AGENT)
        ended(store, CUSTOMER, "abandoned")
        assert store.close("default", "c1", NOW_MS)
        assert any(b'"reason": "abandoned"' in dict(row)[b"value"] for row in outbox(redis_url))

    def test_open_channel_keeps_open(self, store):
        """No call is closed while one of its channels is open, given up or not."""
        ended(store, AGENT)
        opened(store, CUSTOMER)
        assert not store.close("default", "c1", NOW_MS)
        assert not store.close("default", "c1", NOW_MS, given_up=[CUSTOMER])

    def test_awaited_channel_keeps_open(self, store):
        """A call waits for a channel that was announced, unless that is given up."""
        store.announce(START, [Channel.AGENT, Channel.CUSTOMER])
        ended(store, AGENT)
        assert not store.close("default", "c1", NOW_MS)
        assert not store.close("default", "c1", NOW_MS, given_up=[AGENT])
        assert store.close("default", "c1", NOW_MS, given_up=[CUSTOMER])

    def test_opened_meanwhile_keeps_open(self, store, client, redis_url):
        """A channel opened between the look at the call and its close keeps the call open."""
        ended(store, AGENT)
        count = store._count

        def slow(*arguments):
            store.claim(CUSTOMER, START, rate_hz=8000)
            return count(*arguments)

        store._count = slow
        assert not store.close("default", "c1", NOW_MS)
        assert told(redis_url, "ended") == []
        assert not client.hexists(keys.call("default", "c1"), "closed")

    def test_unknown_call(self, store):
        """A call nobody knows is not closed."""
        assert not store.close("default", "nobody", NOW_MS, given_up=[AGENT])

    def test_what_is_left(self, store, client):
        """A closed call leaves a tombstone for a day and its finals for 15 minutes: no audio."""
        ended(store, AGENT)
        store.close("default", "c1", NOW_MS)
        assert 86_000 < client.ttl(keys.call("default", "c1")) <= 86_400
        assert 800 < client.ttl(keys.session(AGENT)) <= 900
        assert 800 < client.ttl(keys.finals(AGENT)) <= 900
        assert not client.exists(keys.tail(AGENT), keys.taken(AGENT))
        assert client.zscore(keys.SESSIONS, keys.member(AGENT)) is None

    def test_nothing_expires_before(self, store, client):
        """While a call goes on, nothing of it expires."""
        store.announce(START, [Channel.AGENT])
        assert client.ttl(keys.call("default", "c1")) > 0
        epoch = filled(store, 2)
        store.pass_edge(AGENT, epoch, edge(utterance=said()))
        lives = {name: client.ttl(name) for name in client.keys("s:*")}
        lives |= {name: client.ttl(name) for name in client.keys("call:*")}
        assert len(lives) == 5
        assert set(lives.values()) == {-1}


class TestCalls:
    """Calls, their channels and aliases."""

    def test_announce_is_idempotent(self, store, redis_url):
        """A call announced again is known, keeps its first start and is told once."""
        later = CallStart("default", "c1", "line-1", STARTED_AT_MS + 9)
        assert store.announce(START, [Channel.AGENT]) == (1, STARTED_AT_MS)
        assert store.announce(later, [Channel.AGENT]) == (0, STARTED_AT_MS)
        assert len(told(redis_url)) == 1

    def test_announce_then_audio(self, store, redis_url):
        """Audio of an announced call takes its start and tells no second one."""
        store.announce(START, [Channel.AGENT])
        late = CallStart("default", "c1", "c1", STARTED_AT_MS + 700)
        assert store.claim(AGENT, late, rate_hz=8000).stored.started_at_ms == STARTED_AT_MS
        assert len(told(redis_url)) == 1

    def test_closed_is_not_announced(self, store):
        """A call that ended is not announced again."""
        ended(store, AGENT)
        store.close("default", "c1", NOW_MS)
        assert store.announce(START, []) == (-1, 0)

    def test_open_channels(self, store):
        """Only channels that were opened and have not ended are open."""
        store.announce(START, [Channel.MIXED])
        ended(store, AGENT)
        opened(store, CUSTOMER)
        assert store.channels("default", "c1") == [CUSTOMER]
        assert store.channels("default", "nobody") == []

    def test_alias_lives_on(self, store, client):
        """An alias keeps its call while it is used, and takes another one when asked to."""
        assert store.alias("default", "phone", "call-1", 25) == "call-1"
        client.expire(keys.alias("default", "phone"), 3)
        assert store.alias("default", "phone", "call-2", 25) == "call-1"
        assert client.ttl(keys.alias("default", "phone")) > 20
        assert store.alias("other", "phone", "call-3", 25) == "call-3"
        assert store.alias("default", "phone", "call-4", 25, anew=True) == "call-4"
        assert store.alias("default", "phone", "call-5", 25) == "call-4"

    def test_tenants_are_apart(self, store):
        """The same call of two tenants is two sessions."""
        foreign = ChannelKey.of("other", "c1", "agent")
        filled(store, 3)
        start = CallStart("other", "c1", "line-1", STARTED_AT_MS)
        claim = store.claim(foreign, start, rate_hz=8000)
        assert (claim.state, claim.stored.next_seq) == (Claimed.CREATED, 0)


class TestIdle:
    """Channels that wait."""

    def test_idle_by_last_step(self, store, client):
        """A channel is idle when its last step lies back, by Redis' clock."""
        epoch = filled(store, 1)
        assert store.idle(5) == []
        client.zincrby(keys.SESSIONS, -6000, keys.member(AGENT))
        assert store.idle(5) == [AGENT]
        assert 6 <= store.waiting(AGENT).idle_s < 8
        store.commit(AGENT, epoch, chunk(1, 2000))
        assert store.idle(5) == []

    def test_ended_is_told(self, store):
        """A channel that ended waits for its call."""
        ended(store, AGENT)
        assert store.waiting(AGENT).ended

    def test_lost_session_leaves_index(self, store, client):
        """A session that is no more is taken out of the index."""
        filled(store, 1)
        client.delete(keys.session(AGENT))
        assert store.waiting(AGENT) is None
        assert client.zcard(keys.SESSIONS) == 0


class TestPods:
    """Leases and load."""

    def test_lease_expires(self, redis_url, client):
        """A lease ends by itself after 1.5 s."""
        Store.from_url(redis_url, "pod-x").renew({"address": "http://x"})
        assert 0 < client.pttl(keys.pod("pod-x")) <= 1500

    def test_living_are_listed(self, store, other):
        """The living pods are listed with their load, the retired ones not."""
        assert store.pods() == [
            Pod("pod-a", "http://pod-a", 3, 60),
            Pod("pod-b", "http://pod-b", 3, 60),
        ]
        other.retire()
        assert [pod.pod for pod in store.pods()] == ["pod-a"]

    def test_dead_are_forgotten(self, store, client):
        """A pod whose lease ended is taken out of the set."""
        client.sadd(keys.PODS, "pod-dead")
        assert [pod.pod for pod in store.pods()] == ["pod-a"]
        assert client.smembers(keys.PODS) == {"pod-a"}

    def test_partials_come_and_go(self, store, client):
        """A partial is shown for ten seconds, an empty one is removed."""
        name = keys.partial("default", "c1", "agent")
        store.show_partials({AGENT: "good morn"})
        assert client.get(name) == "good morn"
        assert 0 < client.pttl(name) <= 10_000
        store.show_partials({AGENT: ""})
        assert not client.exists(name)

    def test_pressure_counts_outbox(self, store):
        """The pressure counts the records that wait; without a memory limit there is none."""
        opened(store)
        pressure = store.pressure()
        assert (pressure.outbox, pressure.memory) == (1, 0.0)

    def test_idle_connections_are_dropped(self, store, client):
        """Connections nobody uses are closed when told, and opened anew when they are needed."""
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: store.pressure(), range(200)))
        before = len(client.client_list())
        store.drop_idle()
        eventually(lambda: len(client.client_list()) < before)
        assert store.pressure().outbox == 0

    def test_pressure_tells_memory(self, store, client):
        """With a memory limit the pressure is the part of it that is used."""
        client.config_set("maxmemory", 500_000_000)
        try:
            assert 0 < store.pressure().memory < 1
        finally:
            client.config_set("maxmemory", 0)


class TestUndecodable:
    """Audio that killed its decoder."""

    def test_last_pieces_are_kept(self, store, client, redis_url):
        """The last pieces that killed a decoder are kept, for a day."""
        for number in range(3):
            store.keep_undecodable(AGENT, [chunk(number, number * 2000)], 2)
        name = keys.undecodable("default")
        kept = [packed_steps.unpack(each).seq for each in client_bytes(redis_url, name)]
        assert kept == [2, 1]
        assert client.ttl(name) > 86_000


METHODS = {
    "claim": lambda store: store.claim(AGENT, START),
    "commit": lambda store: store.commit(AGENT, 1, chunk()),
    "pass_edge": lambda store: store.pass_edge(AGENT, 1, edge()),
    "prove": lambda store: store.prove(AGENT, 1),
    "release": lambda store: store.release(AGENT, 1),
    "finals": lambda store: store.finals(AGENT, -1),
    "peek": lambda store: store.peek(AGENT),
    "is_owned": lambda store: store.is_owned(AGENT),
    "idle": lambda store: store.idle(1),
    "waiting": lambda store: store.waiting(AGENT),
    "announce": lambda store: store.announce(START, []),
    "close": lambda store: store.close("default", "c1", NOW_MS),
    "channels": lambda store: store.channels("default", "c1"),
    "alias": lambda store: store.alias("default", "a", "b", 1),
    "renew": lambda store: store.renew({"address": "x"}),
    "extend": lambda store: store.extend(),
    "retire": lambda store: store.retire(),
    "pods": lambda store: store.pods(),
    "pressure": lambda store: store.pressure(),
    "show_partials": lambda store: store.show_partials({AGENT: "x"}),
    "keep_undecodable": lambda store: store.keep_undecodable(AGENT, [chunk()], 1),
}


class TestAway:
    """A Redis that does not answer."""

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_says_so(self, method):
        """Whatever is asked while Redis is away: it is one error, with 503 and Retry-After."""
        store = Store.from_url("redis://127.0.0.1:1/0", "pod-a")
        with pytest.raises(StoreUnavailable) as caught:
            METHODS[method](store)
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)

    def test_table_is_whole(self):
        """No public method that asks Redis is forgotten above."""
        public = {name for name in vars(Store) if not name.startswith("_")}
        assert public - {"from_url", "pod", "drop_idle"} == set(METHODS)

    def test_full_redis_says_so(self, store, client):
        """A Redis that is full refuses the write as if it were away: nothing is half done."""
        epoch = filled(store, 1)
        client.config_set("maxmemory", 1)
        try:
            for refused in (
                lambda: store.commit(AGENT, epoch, chunk(1, 2000)),
                lambda: store.pass_edge(AGENT, epoch, edge(utterance=said())),
                lambda: store.announce(CallStart("default", "c2", "l", 0), []),
            ):
                with pytest.raises(StoreUnavailable):
                    refused()
        finally:
            client.config_set("maxmemory", 0)
        assert store.commit(AGENT, epoch, chunk(1, 2000)).state is Committed.ACCEPTED


def test_scripts_lie_beside():
    """Every script that ships is one the store loads."""
    shipped = {path.stem for path in Path(module.__file__).with_name("lua").glob("*.lua")}
    assert shipped == set(Store.from_url("redis://127.0.0.1:1/0", "x")._scripts.known)


def test_lease_is_kept(redis_url):
    """A lease that stands is extended; one that ran out is not made by that."""
    store = Store.from_url(redis_url, "pod-x")
    assert not store.extend()
    store.renew({"address": "http://x"})
    assert store.extend()
    store.retire()
    assert not store.extend()
