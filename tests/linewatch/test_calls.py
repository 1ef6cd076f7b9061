"""Holds the values to their rules on names, channels and lengths."""

from __future__ import annotations

import dataclasses
import json

import pytest

from linewatch import calls
from linewatch.calls import (
    CallUpdate,
    Channel,
    ChannelKey,
    Chunk,
    Codec,
    End,
    EndReason,
    Gap,
    GapReason,
    call_source,
    first_seq,
    span,
)
from linewatch.errors import BadName


@pytest.mark.parametrize(
    "channel", ["agent", "customer", "mixed", "agent-2", "ivr", "a" * 32, Channel.AGENT]
)
def test_key_takes_any_party(channel):
    """A channel is agent, customer, mixed, or a further party by a name of its own."""
    assert ChannelKey.of("t", "c", channel).channel == channel


@pytest.mark.parametrize(
    "name", ["", "Agent", "2", "-a", "a b", "a_b", "a:b", "ä", "a\n", "a" * 33]
)
def test_channel_refuses_other_names(name):
    """A channel's name is a small letter, then up to 31 small letters, digits and hyphens."""
    with pytest.raises(ValueError, match="is no channel"):
        Channel(name)


def test_channel_is_its_text():
    """A channel equals its text, is written as it, and stays one when a value is taken apart."""
    channel = Channel("agent-2")
    assert (channel, f"{channel}", json.dumps([channel])) == ("agent-2", "agent-2", '["agent-2"]')
    taken_apart = dataclasses.asdict(ChannelKey("t", "c", channel))
    assert isinstance(taken_apart["channel"], Channel)


def test_update_says_what_it_holds():
    """The words of an update are those of its fields that are not empty."""
    update = CallUpdate("t", "c", 5, agent="Bob", channels=(Channel.CUSTOMER, Channel.AGENT))
    assert update.words == {"agent": "Bob", "channels": "agent,customer"}
    assert CallUpdate("t", "c", 5).words == {}


def test_customer_is_heard_on_two_channels():
    """The customer is heard on customer and mixed; every other party is on the agent's side."""
    names = ("customer", "mixed", "agent", "agent-2", "supervisor")
    assert [name for name in names if Channel(name).has_customer] == ["customer", "mixed"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("t", "c", "Both"), "use agent, customer, mixed"),
        (("t", "c", None), "use agent, customer, mixed"),
        (("t t", "c", "agent"), "tenant 't t'"),
        (("t", "", "agent"), "call ''"),
    ],
)
def test_bad_key_is_refused(names, told):
    """A key with a wrong part is refused, and the part is named."""
    with pytest.raises(BadName, match=told):
        ChannelKey.of(*names)


def test_sources_name_call_and_channel():
    """A source is the path of the call, and of the channel below it."""
    key = ChannelKey.of("acme", "call-1", "agent")
    assert key.source == "/tenants/acme/calls/call-1/channels/agent"
    assert call_source("acme", "call-1") == "/tenants/acme/calls/call-1"
    assert call_source("acme", "a/b c") == "/tenants/acme/calls/a%2Fb%20c"


@pytest.mark.parametrize(
    ("codec", "samples"),
    [(Codec.PCMU, 400), (Codec.PCMA, 400), (Codec.L16, 200), (Codec.S16LE, 200)],
)
def test_samples_follow_codec(codec, samples):
    """A sample takes one byte in the telephone codecs and two in PCM."""
    chunk = Chunk(seq=0, position=1000, stream="s", codec=codec, rate_hz=8000, audio=bytes(400))
    assert chunk.samples == samples
    assert chunk.end_position == 1000 + samples


def test_end_means_hangup():
    """A channel that ends without a reason was hung up."""
    assert End(seq=3, stream="s").reason is EndReason.HANGUP


def test_gap_begins_where_it_stands_for():
    """A step's first number is its own, a gap's that of the first step it stands for."""
    gap = Gap(3, 9, 800, "s", GapReason.LOST)
    assert [first_seq(step) for step in (gap, End(4, "s"))] == [3, 4]


def test_span_ends_before_next():
    """A step stands for one number, a gap for all the steps that were never heard."""
    chunk = Chunk(7, 0, "s", Codec.PCMU, 8000, b"x")
    gap = Gap(3, 9, 800, "s", GapReason.LOST)
    assert [span(step) for step in (chunk, gap, End(4, "s"))] == [(7, 8), (3, 9), (4, 5)]


def test_values_are_frozen():
    """Every value is frozen and takes no attribute it does not declare."""
    found = [each for each in vars(calls).values() if dataclasses.is_dataclass(each)]
    assert len(found) >= 12
    for kind in found:
        assert kind.__dataclass_params__.frozen
        assert "__slots__" in vars(kind)
