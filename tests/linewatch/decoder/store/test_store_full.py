"""A full Redis: what is new is refused, what frees memory is done."""

import pytest

from linewatch import keys
from linewatch.calls import CallStart, End, Gap, GapReason
from linewatch.decoder.store.answers import Claimed, Committed, Owner
from linewatch.errors import StoreUnavailable
from tests.linewatch.decoder.pods import AGENT, CUSTOMER, NOW_MS, START, chunk, told
from tests.linewatch.decoder.store.stored import (
    client_bytes,
    edge,
    ended,
    filled,
    living,
    opened,
    said,
)
from tests.support.full_store import full


def test_nothing_new_is_taken(store, redis_url):
    """Calls, channels and audio are refused as if Redis were away: nothing is half done."""
    epoch = filled(store, 1)
    with full(redis_url):
        for refused in (
            lambda: store.announce(CallStart("default", "c2", "l", 0), []),
            lambda: store.claim(CUSTOMER, START, rate_hz=8000),
            lambda: store.commit(AGENT, epoch, chunk(1, 2000)),
            lambda: store.commit(AGENT, epoch, chunk(0, 2000, stream="restarted")),
        ):
            with pytest.raises(StoreUnavailable):
                refused()
    assert store.commit(AGENT, epoch, chunk(1, 2000)).state is Committed.ACCEPTED


def test_call_can_end(store, client, redis_url):
    """A channel's end, its edge and its call's end are taken, and its audio goes."""
    epoch = filled(store, 3)
    with full(redis_url):
        assert store.commit(AGENT, epoch, End(3, "s1")).state is Committed.ACCEPTED
        assert store.pass_edge(AGENT, epoch, edge(drop=4, utterance=said(), ended=True), "hangup")
        assert store.close("default", "c1", NOW_MS)
    assert client.exists(keys.tail(AGENT), keys.taken(AGENT)) == 0
    assert [name for _, _, name in told(redis_url)] == ["started", "0-final", "ended"]


def test_edge_is_passed(store, client, redis_url):
    """An edge without a word drops the audio before it."""
    epoch = filled(store, 3)
    with full(redis_url):
        assert store.pass_edge(AGENT, epoch, edge(drop=3))
    assert client.llen(keys.tail(AGENT)) == 0


def test_gap_is_taken(store, redis_url):
    """A gap is taken: what was said before it is published then, and its audio dropped."""
    epoch = filled(store, 1)
    with full(redis_url):
        receipt = store.commit(AGENT, epoch, Gap(1, 2, 9000, "s1", GapReason.LOST))
    assert receipt.state is Committed.ACCEPTED


def test_session_changes_hands(store, other, redis_url):
    """A session whose pod is gone is adopted, its attempts are reset, and it is given up again."""
    epoch = filled(store, 1)
    with full(redis_url):
        claim = other.claim(AGENT, dead=Owner("pod-a", epoch, ""))
        assert claim.state is Claimed.ADOPTED
        other.prove(AGENT, claim.stored.epoch)
        assert other.peek(AGENT).attempts == 0
        other.release(AGENT, claim.stored.epoch)
        assert not other.is_owned(AGENT)


def test_lease_is_taken(client, redis_url):
    """A pod that starts, or stood still, takes its lease: else nobody would adopt."""
    with full(redis_url):
        living(redis_url, "pod-new")
    assert client.hget(keys.pod("pod-new"), "address") == "http://pod-new"
    assert client.sismember(keys.PODS, "pod-new")


def test_undecodable_audio_is_kept(store, redis_url):
    """Audio that killed its decoder holds up no adoption: it is kept as ever."""
    store.keep_undecodable(AGENT, [chunk()], 2)
    with full(redis_url):
        store.keep_undecodable(AGENT, [chunk(1, 2000), chunk(2, 4000)], 2)
    assert len(client_bytes(redis_url, keys.undecodable("default"))) == 2


def test_known_alias_is_told(store, client, redis_url):
    """A client of the original demo finds its call again, to end it."""
    store.alias("default", "line-7", "line-7-1", 25)
    with full(redis_url):
        assert store.alias("default", "line-7", "line-7-2", 25) == "line-7-1"
    assert 20 < client.ttl(keys.alias("default", "line-7")) <= 25


def test_lost_sessions_leave_index(store, client, redis_url):
    """A session that is no more leaves the index."""
    ended(store, AGENT)
    opened(store, CUSTOMER)
    client.delete(keys.session(CUSTOMER))
    with full(redis_url):
        store.tick()
        store.forget_idle(CUSTOMER)
    assert client.zscore(keys.SESSIONS, keys.member(CUSTOMER)) is None
