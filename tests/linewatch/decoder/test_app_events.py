"""Calls told to the decoder by a phone system's CloudEvents."""

import pytest

from linewatch import events
from linewatch.calls import CallStart, ChannelKey
from tests.linewatch.decoder.phone_requests import (
    CHUNKS,
    HEADERS,
    STRUCTURED,
    chunk_event,
    end_event,
    problem,
    start_event,
)
from tests.linewatch.decoder.pods import outbox, told


class TestEvents:
    """Whole CloudEvents of a phone system."""

    def test_whole_call_in_a_batch(self, web, redis_url):
        """A batch of start, chunks and end is a whole call; a repeat of it changes nothing."""
        batch = [start_event(), *(chunk_event(step) for step in CHUNKS), end_event()]
        reply = web.post(
            "/v1/events", json=batch, content_type="application/cloudevents-batch+json"
        )
        assert reply.status_code == 200
        results = reply.json["results"]
        assert results[0]["call"] == "c1"
        assert results[-2]["next_seq"] == len(CHUNKS)
        assert results[-1] == {"ended": ["agent"]}
        kinds = [name[0].split(".")[2] for name in told(redis_url)]
        assert (kinds[0], kinds[-1]) == ("started", "ended")
        assert kinds.count("final") > 1
        before = outbox(redis_url)
        again = web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert again.json == {"results": [{"ended": []}]}
        assert outbox(redis_url) == before

    def test_binary_event(self, web, redis_url):
        """One event in binary mode is taken."""
        headers = {**HEADERS, "ce-subject": "c1", "ce-channel": "agent"}
        reply = web.post("/v1/events", data=CHUNKS[0].audio, headers=headers)
        assert reply.json["results"][0]["next_seq"] == 1

    def test_silent_channel_ends(self, web, service, redis_url):
        """A call ends though one of its channels never heard anything."""
        start = CallStart("default", "c1", "c1", 0)
        service.store.claim(ChannelKey.of("default", "c1", "agent"), start, rate_hz=8000)
        again = web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert again.json == {"results": [{"ended": ["agent"]}]}
        assert len(told(redis_url, "ended")) == 1

    @pytest.mark.parametrize("channels", [[], ["agent", "customer"]])
    def test_call_that_nobody_took_ends(self, web, redis_url, channels):
        """A caller who hangs up while he waits: announced, never heard, and ended all the same."""
        web.post("/v1/calls", json={"call": "c1", "channels": channels})
        web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert len(told(redis_url, "ended")) == 1
        web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert len(told(redis_url, "ended")) == 1

    def test_channel_that_never_came_is_no_hindrance(self, web, redis_url):
        """The sender's end is the call's end, though an announced channel never came."""
        web.post("/v1/calls", json={"call": "c1", "channels": ["agent", "customer"]})
        headers = {**HEADERS, "ce-subject": "c1", "ce-channel": "agent"}
        web.post("/v1/events", data=CHUNKS[0].audio, headers=headers)
        reply = web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert sorted(reply.json["results"][0]["ended"]) == ["agent", "customer"]
        assert len(told(redis_url, "ended")) == 1

    @pytest.mark.parametrize("changes", [
        {"time": "9999-12-31T24:00:00Z"}, {"time": "9999-W53-7"}, {"data": "\ud800"},
    ])  # fmt: skip
    def test_unwritable_event(self, web, changes):
        """A day after the last one, and half a character, are 400."""
        event = {
            name: told for name, told in chunk_event(CHUNKS[0]).items() if name != "data_base64"
        }
        reply = web.post(
            "/v1/events", json={**event, "data": "x", **changes}, content_type=STRUCTURED
        )
        problem(reply, 400, "bad-event")

    def test_unknown_calls_end(self, web):
        """The end of a call nobody knows ends nothing."""
        reply = web.post("/v1/events", json=end_event("nobody"), content_type=STRUCTURED)
        assert reply.json == {"results": [{"ended": []}]}

    @pytest.mark.parametrize(("event", "status"), [
        ({}, 400),
        ([], 400),
        ({**start_event(), "type": events.UTTERANCE_FINAL}, 400),
        ({**start_event(), "data": {}}, 422),
        ({**start_event(), "tenant": "acme"}, 403),
        ({**chunk_event(CHUNKS[0]), "channel": "Boss"}, 400),
        ({**chunk_event(CHUNKS[0]), "datacontenttype": "audio/wav"}, 415),
    ])  # fmt: skip
    def test_wrong_event(self, web, redis_url, event, status):
        """A wrong event is refused whole."""
        problem(web.post("/v1/events", json=event, content_type=STRUCTURED), status)
        assert outbox(redis_url) == []

    def test_no_event(self, web):
        """What is no event is 400."""
        problem(web.post("/v1/events", data=b"hello", content_type="text/plain"), 400, "bad-event")
