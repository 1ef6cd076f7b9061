"""Edges on a real Redis, and the fence that keeps a zombie from writing."""

import json

import pytest
import redis

from linewatch import keys
from linewatch.calls import GapReason, Missing
from linewatch.decoder.recognition.session import Checkpoint
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store.answers import Committed, Owner
from linewatch.events import partition_of
from tests.linewatch.decoder.pods import AGENT, STARTED_AT_MS, chunk, outbox, told
from tests.linewatch.decoder.store.stored import client_bytes, edge, filled, said


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
