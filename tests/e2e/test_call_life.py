"""Calls as phone systems live them, on whole decoders: silences, transfers, ends, returns."""

from __future__ import annotations

import json

import pytest
import urllib3

from linewatch.calls import Codec
from tests.support.decoders import Fleet, once_each, published
from tests.support.fakes import encoded, speech
from tests.support.waiting import eventually

CALL = "call-life"
PIECE = 2000


class Phone:
    """One channel, sent by plain HTTP to one decoder after another."""

    def __init__(self, fleet, channel, *, stream="run-1", rate_hz=8000, position=0):
        self._urls = fleet.urls
        self._path = f"/v1/calls/{CALL}/channels/{channel}"
        self._stream, self._rate_hz = stream, rate_hz
        self.seq, self.position = 0, position

    def say(self, seconds, seed=0):
        """Say something for so many seconds, chunk by chunk."""
        samples = speech(seconds, self._rate_hz, seed)
        for begin in range(0, len(samples), PIECE):
            audio = encoded(samples[begin : begin + PIECE], Codec.S16LE)
            assert self._send("audio", audio, self._headers()) == 200
            self.position += len(audio) // 2
        return self

    def end(self):
        """End the channel; return the status."""
        body = json.dumps({"stream": self._stream, "seq": self.seq}).encode()
        return self._send("end", body, {"content-type": "application/json"})

    def _headers(self):
        return {
            "content-type": f"audio/x-raw;format=S16LE;rate={self._rate_hz}",
            "ce-specversion": "1.0",
            "ce-type": "linewatch.audio.chunk.v1",
            "ce-source": "/pbx",
            "ce-id": f"{self._stream}-{self.seq}",
            "ce-sequence": str(self.seq),
            "ce-position": str(self.position),
            "ce-stream": self._stream,
        }

    def _send(self, what, body, headers):
        url = self._urls[self.seq % len(self._urls)]
        answer = urllib3.request(
            "POST", f"{url}{self._path}/{what}", body=body, headers=headers, timeout=60
        )
        self.seq += answer.status == 200
        return answer.status


def events_of(redis_url, topic, kind=""):
    """Return the data of what was published of the call, by the end of its type's name."""
    records = once_each(published(redis_url, topic, {CALL}))
    rows = [dict(fields) for fields in records.values()]
    return [json.loads(row[b"value"]) for row in rows if kind.encode() in row[b"ce_type"]]


@pytest.fixture(name="fleet")
def _fleet(redis_url):
    with Fleet(redis_url, IDLE_S="2", ABANDON_S="6") as fleet:
        fleet.start(2)
        yield fleet


def test_silence_is_no_end(fleet, redis_url):
    """A customer who sends nothing for a while goes on, and the page learns of the silence."""
    customer = Phone(fleet, "customer").say(2)
    eventually(lambda: fleet.metric("linewatch_decoder_parked_total") == 1, 60)
    assert events_of(redis_url, "utterances")
    customer.say(2, seed=1)
    assert customer.end() == 200
    (gap,) = eventually(lambda: events_of(redis_url, "calls", "gap"), 60)
    assert gap["reason"] == "silent"
    assert gap["end_ms"] - gap["start_ms"] >= 1500
    (end,) = eventually(lambda: events_of(redis_url, "calls", "ended"), 60)
    assert end["reason"] == "hangup"


def test_abandoned_call_comes_back(fleet, redis_url):
    """A call that was given up comes back with its next step, and ends by its sender."""
    customer = Phone(fleet, "customer").say(1)
    eventually(lambda: events_of(redis_url, "calls", "ended"), 60)
    customer.say(1, seed=1)
    assert customer.end() == 200
    both = eventually(lambda: len(events_of(redis_url, "calls", "ended")) == 2, 60)
    ends = events_of(redis_url, "calls", "ended")
    assert both
    assert sorted((end["generation"], end["reason"]) for end in ends) == [
        (0, "abandoned"),
        (1, "hangup"),
    ]
    assert [each["generation"] for each in events_of(redis_url, "calls", "resumed")] == [1]


def test_transfer_and_wideband(fleet, redis_url):
    """An agent's leg ends in a transfer; the next one comes back, at another rate."""
    customer = Phone(fleet, "customer").say(1)
    agent = Phone(fleet, "agent", position=8000).say(1)
    assert agent.end() == 200
    other = Phone(fleet, "agent", stream="run-2", rate_hz=16_000).say(2, seed=3)
    assert (other.end(), customer.end()) == (200, 200)
    (end,) = eventually(lambda: events_of(redis_url, "calls", "ended"), 60)
    assert end["chunks"] == 4 + 4 + 16
    said = [each for each in events_of(redis_url, "utterances") if each["channel"] == "agent"]
    assert said[0]["start_ms"] >= 1000
    assert said[-1]["end_ms"] > 3000
    assert all(gap["reason"] == "silent" for gap in events_of(redis_url, "calls", "gap"))


def test_nobody_picks_up(fleet, redis_url):
    """A caller who hangs up while he waits ends his call, whatever was announced."""
    body = {"call": CALL, "channels": ["agent", "customer"]}
    urllib3.request("POST", f"{fleet.urls[0]}/v1/calls", json=body)
    statuses = [Phone(fleet, channel).end() for channel in ("customer", "agent")]
    assert statuses == [200, 200]
    (end,) = eventually(lambda: events_of(redis_url, "calls", "ended"), 60)
    assert (end["reason"], end["chunks"]) == ("hangup", 0)
