"""Requests and answers as they stand on the wire."""

from __future__ import annotations

import json

import pytest

from linewatch import errors
from linewatch.calls import CallStart, Channel, ChannelKey
from linewatch.gateway.decoders import Answer
from linewatch.gateway.wire import (
    announcement,
    problem,
    reply,
    retry_after_s,
)

KEY = ChannelKey.of("acme", "line-01-x", Channel.AGENT)
STARTED_MS = 1_700_000_000_123


def _answer(body, status=200, **headers):
    return Answer(
        status, headers, (), body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def test_announcement_tells_the_call():
    """What is known of the call is told before its audio."""
    start = CallStart("default", "c-1", "line-01", STARTED_MS, "Sam", "billing", "outbound")
    request = announcement(start, ("agent", "customer"))
    assert (request.method, request.path) == ("POST", "/v1/calls")
    assert json.loads(request.body) == {
        "call": "c-1",
        "line": "line-01",
        "agent": "Sam",
        "queue": "billing",
        "direction": "outbound",
        "started_at": "2023-11-14T22:13:20.123Z",
        "channels": ["agent", "customer"],
    }


def test_reply_is_read():
    """A reply tells how far the decoder is, what is being said, and the new finals."""
    told = {"next_seq": 4, "next_position": 8000, "partial": "hel", "finals": [{"text": "hi"}]}
    found = reply(_answer(told))
    assert (found.next_seq, found.next_position, found.partial) == (4, 8000, "hel")
    assert found.finals == ({"text": "hi"},)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        {"next_seq": "4", "next_position": 0},
        {"next_seq": True, "next_position": 0},
        {"next_seq": 4},
    ],
)
def test_other_answers_are_no_reply(body):
    """A proxy's page or a reply without its numbers is no reply."""
    assert reply(_answer(body)) is None
    assert problem(_answer(body))[0] == ""


def test_odd_members_are_dropped():
    """Members of the wrong type are left out, the numbers still count."""
    found = reply(_answer({"next_seq": 1, "next_position": 2, "partial": 3, "finals": [4]}))
    assert (found.next_seq, found.partial, found.finals) == (1, "", ())


def test_problem_is_read():
    """A problem made by the contract's own errors gives its name and number back."""
    body, status, _ = errors.problem(errors.SequenceGap("too far", next_seq=17))
    assert problem(_answer(body.encode(), status)) == ("sequence-gap", 17)


@pytest.mark.parametrize(
    ("raw", "expected"), [("1", 1.0), ("5", 5.0), ("", None), ("soon", None), ("-1", None)]
)
def test_retry_after_in_seconds(raw, expected):
    """Only whole seconds are read."""
    assert retry_after_s(_answer({}, 503, **{"retry-after": raw})) == expected
