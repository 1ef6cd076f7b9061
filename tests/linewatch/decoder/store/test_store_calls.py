"""Calls on a real Redis: announced, opened, closed, and the lives of their keys."""

import json
from dataclasses import replace

from linewatch import events, keys
from linewatch.calls import CallStart, CallUpdate, Channel, ChannelKey, EndReason
from linewatch.decoder.store.answers import Claimed
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    MIXED,
    NOW_MS,
    START,
    STARTED_AT_MS,
    outbox,
    told,
)
from tests.linewatch.decoder.store.stored import edge, ended, filled, opened, said


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
        """No call is closed while one of its channels is open."""
        ended(store, AGENT)
        opened(store, CUSTOMER)
        assert not store.close("default", "c1", NOW_MS)

    def test_awaited_channel_keeps_open(self, store):
        """A call waits for a channel that was announced, unless its sender ends the call."""
        store.announce(START, [Channel.AGENT, Channel.CUSTOMER])
        ended(store, AGENT)
        assert not store.close("default", "c1", NOW_MS)
        assert store.close("default", "c1", NOW_MS, reason=EndReason.HANGUP)

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
        assert not store.close("default", "nobody", NOW_MS, reason=EndReason.HANGUP)

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

    def test_update_is_told_once(self, store, redis_url):
        """What is learned of a known call is published once; a repeat changes nothing."""
        store.announce(START, [])
        bob = CallUpdate("default", "c1", STARTED_AT_MS + 9000, agent="Bob")
        before = outbox(redis_url)
        for _ in range(3):
            assert store.announce(START, [], bob) == (0, STARTED_AT_MS)
        assert told(redis_url, "updated") == [
            (events.CALL_UPDATED, "/tenants/default/calls/c1", events.call_updated(bob).get_id())
        ]
        store.announce(START, [], replace(bob, at_ms=bob.at_ms + 5000))
        assert len(outbox(redis_url)) == len(before) + 1

    def test_dated_update_is_news(self, store, redis_url):
        """The same word of a later moment is published where its sender dated it."""
        store.announce(START, [])
        for at_ms in (1000, 3000, 2000, 3000):
            told_at = CallUpdate("default", "c1", STARTED_AT_MS + at_ms, agent="Bob")
            store.announce(START, [], told_at, is_dated=True)
        assert len(told(redis_url, "updated")) == 2

    def test_late_update_is_told(self, store, redis_url):
        """A word that is older than what is known is published too, and once."""
        store.announce(START, [])
        for at_ms, agent in ((3000, "Bob"), (1000, "Ann"), (1000, "Ann"), (3000, "Bob")):
            word = CallUpdate("default", "c1", STARTED_AT_MS + at_ms, agent=agent)
            store.announce(START, [], word, is_dated=True)
        assert len(told(redis_url, "updated")) == 2

    def test_announced_after_audio(self, store, redis_url):
        """The announcement of a call that audio made is an update of it."""
        opened(store, AGENT)
        word = CallUpdate("default", "c1", NOW_MS, line="Sales 1", channels=(Channel.AGENT,))
        assert store.announce(START, [Channel.AGENT], word) == (0, STARTED_AT_MS)
        assert [kind for kind, *_ in told(redis_url)] == [events.CALL_STARTED, events.CALL_UPDATED]

    def test_ended_call_is_not_updated(self, store, redis_url):
        """Nothing more is told of a call that ended."""
        ended(store, AGENT)
        store.close("default", "c1", NOW_MS)
        before = outbox(redis_url)
        assert store.announce(START, [], CallUpdate("default", "c1", 5, agent="Bob")) == (-1, 0)
        assert outbox(redis_url) == before

    def test_open_channels(self, store):
        """Channels that were opened or announced, and have not ended, are the call's."""
        store.announce(START, [Channel.MIXED])
        ended(store, AGENT)
        opened(store, CUSTOMER)
        assert set(store.channels("default", "c1")) == {MIXED, CUSTOMER}
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
