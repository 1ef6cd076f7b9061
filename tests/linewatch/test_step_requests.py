"""The HTTP request that brings a step to a decoder."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import events
from linewatch.calls import Channel, ChannelKey, Chunk, Codec, End, Gap, GapReason
from linewatch.step_requests import ChannelRequests, media_type

KEY = ChannelKey.of("acme", "line-01-x", Channel.AGENT)
STARTED_MS = 1_700_000_000_123


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.binary(max_size=200))
def test_chunk_is_a_cloudevent(seq, position, audio):
    """The headers written by hand are the event that the contract's own reader understands."""
    request = ChannelRequests(KEY, "run-1", STARTED_MS, name_tenant=True).step(
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
    request = ChannelRequests(KEY, "run-1", 0).step(
        Chunk(0, 0, "run-1", Codec.PCMU, 8000, b"x"), -1
    )
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
    request = ChannelRequests(KEY, "run-1", 0).step(Gap(3, 9, 1234, "run-1", GapReason.OVERRUN), 7)
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
    request = ChannelRequests(KEY, "run-1", 0).step(End(12, "run-1"), -1)
    assert request.path == "/v1/calls/line-01-x/channels/agent/end?after=-1"
    assert json.loads(request.body) == {"stream": "run-1", "seq": 12}
