"""Calls whose ids are no names, on whole processes: any decoder takes any of their steps."""

from __future__ import annotations

import json

import pytest

from linewatch.calls import Channel
from tests.support.decoders import Fleet, line_to, outbox_is_empty, published
from tests.support.waiting import eventually

CHANNELS = (Channel.CUSTOMER, Channel("agent-2"))
IDS = ["a84b4c/../66710@pc33", "{3F2504E0|4F89}", "100% sure ?#", "zo\u00eb \u00f6"]


@pytest.mark.parametrize("call", IDS)
def test_steps_find_their_decoder(redis_url, call):
    """Two decoders share a call with an odd id: its steps are forwarded, and all of it is heard."""
    with Fleet(redis_url) as fleet:
        fleet.start(2)
        line = line_to(fleet.urls, call, CHANNELS)
        line.open()
        for _ in range(20):
            for channel in CHANNELS:
                line.push(channel, bytes(range(200)) * 10)
        assert line.close(20)
        eventually(lambda: outbox_is_empty(redis_url), 10)
        assert fleet.metric("linewatch_decoder_forwards_total") > 0
    found = published(redis_url, "calls", {call})
    data = [json.loads(dict(copies[0])[b"value"]) for copies in found.values()]
    assert {each["call"] for each in data} == {call}
    assert [each["chunks"] for each in data if "chunks" in each] == [40]
