"""Claims on a real Redis: whose session it is."""

import pytest

from linewatch import keys
from linewatch.calls import CallStart, End
from linewatch.decoder.recognition.session import Checkpoint
from linewatch.decoder.store.answers import Claimed, Owner
from linewatch.errors import NewerCheckpoint
from tests.linewatch.decoder.pods import AGENT, CUSTOMER, NOW_MS, START, STARTED_AT_MS, chunk, told
from tests.linewatch.decoder.store.stored import edge, filled, living, opened


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
        client.hset(keys.session(AGENT), "version", 3)
        with pytest.raises(NewerCheckpoint, match="version 3"):
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
