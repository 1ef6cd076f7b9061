"""Sessions and pods put into a real Redis, and the values their tests share."""

from __future__ import annotations

import redis

from linewatch import keys
from linewatch.calls import End, EndReason, Utterance, Word
from linewatch.decoder.recognition.session import Checkpoint, Edge
from linewatch.decoder.store.answers import Claimed, Committed
from linewatch.decoder.store.store import Store
from tests.linewatch.decoder.pods import AGENT, START, STARTED_AT_MS, chunk


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


def ended(store, key, reason="hangup", chunks=1):
    """Fill a channel and end it."""
    epoch = filled(store, chunks, key)
    store.commit(key, epoch, End(chunks, "s1", EndReason(reason)))
    store.pass_edge(key, epoch, edge(drop=chunks + 1, utterance=said(key=key), ended=True), reason)


def client_bytes(redis_url, name):
    """Return a list's raw items."""
    with redis.Redis.from_url(redis_url) as client:
        return client.lrange(name, 0, -1)
