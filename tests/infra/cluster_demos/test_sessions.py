"""What the demos tell of sessions, against a real Redis."""

from __future__ import annotations

import runpy
import sys

import pytest

from infra.cluster_demos import sessions
from linewatch.calls import CallStart, Channel, ChannelKey
from linewatch.decoder.store.store import Store

KEY = ChannelKey("default", "call-1", Channel.AGENT)


@pytest.fixture(name="store")
def _store(redis_url):
    store = Store.from_url(redis_url, "pod-1")
    store.renew({"address": "http://10.0.0.1:8080", "sessions": 1, "capacity": 60})
    return store


def test_tells_of_decoders(store):
    """A living decoder is told with its address and how many sessions it owns."""
    assert list(sessions.told(store, nobody)) == ["pod pod-1 http://10.0.0.1:8080 1"]


def test_tells_of_live_channels(store):
    """A channel is told with its moves (claiming anew is none), its step and its owner."""
    claim(store)
    claim(store)
    told = list(sessions.told(store, lambda key: f"owner-of-{key.call}"))
    assert told[1:] == ["session call-1/agent 0 0 owner-of-call-1"]


def test_unowned_channel_is_told(store):
    """A channel that nobody owns has a dash for an owner."""
    claim(store)
    assert list(sessions.told(store, nobody))[1:] == ["session call-1/agent 0 0 -"]


def test_runs_from_standard_input(redis_url, store, monkeypatch, capsys):
    """The file alone is enough: it finds the store by REDIS_URL, and the owner there."""
    claim(store)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(sys, "argv", ["-"])
    runpy.run_path(sessions.__file__, run_name="__main__")
    told = capsys.readouterr().out.splitlines()
    assert told == list(sessions.told(store, lambda _: "pod-1"))


def nobody(_):
    """Own nothing."""
    return ""


def claim(store):
    """Make a session."""
    store.claim(KEY, CallStart("default", "call-1", "line-1", 1), rate_hz=8000)
