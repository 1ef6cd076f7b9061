"""Requests and answers as they stand on the wire."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import errors, events
from linewatch.calls import CallStart, Channel, ChannelKey, Chunk, Codec, End, Gap, GapReason
from linewatch.gateway.decoders import Answer
from linewatch.gateway.wire import (
    ChannelWire,
    announcement,
    media_type,
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


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.binary(max_size=200))
def test_chunk_is_a_cloudevent(seq, position, audio):
    """The headers written by hand are the event that the contract's own reader understands."""
    request = ChannelWire(KEY, STARTED_MS, "run-1", name_tenant=True).step(
        Chunk(seq, position, "run-1", Codec.PCMU, 8000, audio), after=42
    )
    event = events.from_http(request.headers, request.body)
    assert event.get_type() == events.AUDIO_CHUNK
    assert event.get_source() == KEY.source
    assert event.get_id() == f"run-1-{seq}"
    assert events.at_ms(event.get_time()) == STARTED_MS
    told = {
        name: event.get_extension(name) for name in ("sequence", "position", "stream", "tenant")
    }
    assert told == {
        "sequence": str(seq),
        "position": str(position),
        "stream": "run-1",
        "tenant": "acme",
    }
    assert request.body == audio
    assert request.path == "/v1/calls/line-01-x/channels/agent/audio?after=42"


def test_tenant_is_named_on_demand():
    """Where the token alone names the tenant, the chunk does not."""
    request = ChannelWire(KEY, 0, "run-1").step(Chunk(0, 0, "run-1", Codec.PCMU, 8000, b"x"), -1)
    assert "ce-tenant" not in request.headers


@pytest.mark.parametrize(
    ("codec", "rate_hz", "expected"),
    [
        (Codec.PCMU, 8000, "audio/PCMU"),
        (Codec.PCMA, 8000, "audio/PCMA"),
        (Codec.PCMU, 16000, "audio/PCMU;rate=16000"),
        (Codec.L16, 8000, "audio/L16;rate=8000"),
        (Codec.S16LE, 44100, "audio/x-raw;format=S16LE;rate=44100"),
    ],
)
def test_media_type_names_rate(codec, rate_hz, expected):
    """The rate stands in the content type unless it is the codec's own."""
    assert media_type(codec, rate_hz) == expected


def test_gap_tells_its_steps():
    """A gap names the steps it stands for, where audio goes on, and why."""
    request = ChannelWire(KEY, 0, "run-1").step(Gap(3, 9, 1234, "run-1", GapReason.OVERRUN), 7)
    assert request.path == "/v1/calls/line-01-x/channels/agent/gap?after=7"
    assert json.loads(request.body) == {
        "stream": "run-1",
        "from_seq": 3,
        "next_seq": 9,
        "position": 1234,
        "reason": "overrun",
    }


def test_end_tells_its_number():
    """The end is a step with a number like the others."""
    request = ChannelWire(KEY, 0, "run-1").step(End(12, "run-1"), -1)
    assert request.path == "/v1/calls/line-01-x/channels/agent/end?after=-1"
    assert json.loads(request.body) == {"stream": "run-1", "seq": 12}


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
