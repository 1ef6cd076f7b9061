"""Holds the Redis keys to being distinct and readable again."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import keys
from linewatch.calls import Channel, ChannelKey
from linewatch.errors import BadName
from linewatch.names import checked_call


def is_call(text):
    """Tell whether *text* may be the id of a call."""
    try:
        return checked_call(text) == text
    except BadName:
        return False


_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,20}", fullmatch=True)
_CALLS = _NAMES | st.text(st.sampled_from("a|:/%{} ~"), min_size=1).filter(is_call)
_KEYS = st.builds(
    ChannelKey, _NAMES, _CALLS, st.sampled_from((Channel.AGENT, Channel.MIXED, Channel("agent-2")))
)
_KEY = ChannelKey.of("acme", "call-1", "agent")


@given(_KEYS)
def test_member_round_trip(key):
    """A session's name in the index is read back as its key."""
    assert keys.of_member(keys.member(key)) == key


@given(_KEYS, _KEYS)
def test_sessions_never_collide(first, second):
    """Two channels never share a key, whatever their names, ':' and '|' in a call's id included."""
    for make in (keys.session, keys.tail, keys.taken, keys.finals, keys.member):
        assert (make(first) == make(second)) == (first == second)


def test_kinds_never_collide():
    """No two kinds of key are the same for the same names."""
    given_kinds = {"key": _KEY, "partition": 3, "tenant": "t", "call_id": "c", "topic": "x"}
    made, readers = [], {"of_member", "of_members"}
    for name, make in vars(keys).items():
        if inspect.isfunction(make) and make.__module__ == keys.__name__ and name not in readers:
            wanted = inspect.signature(make).parameters
            made.append(make(*(given_kinds.get(each, "z") for each in wanted)))
    assert len(made) > 15
    assert len(made) == len(set(made))


@pytest.mark.parametrize("partition", [0, 11])
def test_partitions_have_own_streams(partition):
    """Each partition has its own outbox, lease and log."""
    assert keys.outbox(partition) == f"outbox:{partition}"
    assert keys.outbox_lease(partition) == f"outbox:{partition}:lease"
    assert keys.log("calls", partition) == f"log:calls:{partition}"


def test_lease_outlives_renewals():
    """A pod may miss several renewals before its lease is lost."""
    assert keys.POD_RENEW_S * 1000 * 4 < keys.POD_LEASE_MS


def test_tombstone_outlives_the_rest():
    """A call answers 410 for longer than anything else of it is kept."""
    assert keys.TOMBSTONE_EXPIRES_S == 24 * 3600
    assert keys.TOMBSTONE_EXPIRES_S > keys.ENDED_SESSION_EXPIRES_S


def test_facts_outlive_the_page():
    """What is known of a call outlives its row, and goes before its id may be used again."""
    assert keys.ENDED_ROW_EXPIRES_S < keys.FACTS_EXPIRES_S <= keys.TOMBSTONE_EXPIRES_S
