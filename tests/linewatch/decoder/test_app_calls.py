"""Calls as phone systems name, announce, change and date them."""

import json
from urllib.parse import quote

import pytest

from linewatch import events, keys
from linewatch.decoder.app import app_of
from tests.linewatch.decoder.phone_requests import (
    CHUNKS,
    STRUCTURED,
    audio,
    chunk_event,
    problem,
    service_of,
    start_event,
)
from tests.linewatch.decoder.pods import client_of, outbox, told

BATCH = "application/cloudevents-batch+json"
IDS = [
    "a84b4c76e66710@pc33.example.com",
    "+15550100000",
    "a/b",
    "a/../b",
    "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
    "100% sure: yes|no",
    "%2F",
    "\u00e4 \u00f6",
    "x" * 256,
]


def values(redis_url, kind):
    """Return the data of every event of *kind* in the outbox."""
    rows = [dict(row) for row in outbox(redis_url)]
    return [json.loads(row[b"value"]) for row in rows if row[b"ce_type"] == kind.encode()]


class TestIds:
    """Ids as other systems make them."""

    @pytest.mark.parametrize("call", IDS)
    def test_whole_call(self, web, redis_url, call):
        """A call is announced, heard, asked for and ended under any id, which its events hold."""
        assert web.post("/v1/calls", json={"call": call}).json["call"] == call
        path = f"/v1/calls/{quote(call, safe='')}/channels/agent"
        reply = audio(web, channel=path)
        assert reply.status_code == 200
        assert web.get(path).json["next_seq"] == 1
        assert f"Path=/v1/calls/{quote(call, safe='')};" in reply.headers["Set-Cookie"]
        assert web.post(f"{path}/end", json={"stream": "s1", "seq": 1}).status_code == 200
        rows = [dict(row) for row in outbox(redis_url)]
        assert {row[b"key"].decode() for row in rows} == {call}
        assert {json.loads(row[b"value"])["call"] for row in rows} == {call}

    def test_cookie_is_the_calls(self, service):
        """The cookie of a call with an odd id comes back and hints at its pod."""
        web = app_of(service).test_client(use_cookies=False)
        path = "/v1/calls/a%2Fb%20c/channels/agent"
        cookie = audio(web, channel=path).headers["Set-Cookie"].partition(";")[0]
        again = audio(web, CHUNKS[1], channel=path, Cookie=cookie)
        assert again.status_code == 200
        assert "Set-Cookie" not in again.headers

    def test_odd_id_in_an_event(self, web, redis_url):
        """An event names the call as it is."""
        event = chunk_event(CHUNKS[0], "a/b|c")
        assert web.post("/v1/events", json=event, content_type=STRUCTURED).status_code == 200
        with client_of(redis_url) as client:
            assert client.exists("s:default:a%2Fb%7Cc:agent")

    def test_number_is_an_id(self, web):
        """An id that is a number of JSON is its text."""
        assert web.post("/v1/calls", json={"call": 17_000_001}).json["call"] == "17000001"
        assert audio(web, channel="/v1/calls/17000001/channels/agent").status_code == 200

    @pytest.mark.parametrize("call", ["..", ".", "%2E%2E", "%00", "a%0Ab", "%FF", "%20"])
    def test_other_ids(self, web, call):
        """What would act in a path or a terminal is no id."""
        problem(web.get(f"/v1/calls/{call}/channels/agent"), 400)


class TestUpdates:
    """What is learned of a call later."""

    def test_transfer_is_told(self, web, redis_url):
        """A call that changes hands is updated, and a repeat of that is nothing."""
        told_first = {"call": "c1", "line": "l1", "agent": "Ann", "queue": "sales"}
        assert web.post("/v1/calls", json=told_first).status_code == 201
        for body in (told_first, {"call": "c1", "agent": "Bob"}, {"call": "c1", "agent": "Bob"}):
            assert web.post("/v1/calls", json=body).status_code == 200
        (update,) = values(redis_url, events.CALL_UPDATED)
        assert update == {"tenant": "default", "call": "c1", "agent": "Bob"}

    def test_announced_after_audio(self, web, redis_url):
        """What is announced after the first chunk is not lost."""
        audio(web)
        assert web.post("/v1/calls", json={"call": "c1", "line": "Sales 1"}).status_code == 200
        (update,) = values(redis_url, events.CALL_UPDATED)
        assert update["line"] == "Sales 1"

    def test_update_as_an_event(self, web, redis_url):
        """An update as an event is of the event's time, and a repeat of it is nothing."""
        event = {**start_event(), "type": events.CALL_UPDATED, "time": "2026-01-01T00:05:00Z"}
        event["data"] = {"agent": "Bob", "queue": None}
        event["subject"] = "c1"
        web.post("/v1/events", json=start_event(), content_type=STRUCTURED)
        for _ in range(2):
            reply = web.post("/v1/events", json=event, content_type=STRUCTURED)
            assert reply.json["results"][0]["call"] == "c1"
        ((_, _, name),) = told(redis_url, "updated")
        assert name.startswith("updated-1767225900000-")

    def test_start_repeated_says_nothing(self, web, redis_url):
        """The same start as an event again is no update."""
        for _ in range(2):
            web.post("/v1/events", json=start_event(), content_type=STRUCTURED)
        assert len(outbox(redis_url)) == 1


class TestClocks:
    """Clocks of senders."""

    @pytest.fixture(name="web")
    def _web(self, redis_url):
        return app_of(service_of(redis_url, START_BELIEVED_S="86400")).test_client()

    @pytest.mark.parametrize("started_at", ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
    def test_announced_start_is_put_right(self, web, redis_url, started_at):
        """A call that says it starts in 1970 or to come starts now, and the difference is told."""
        reply = web.post("/v1/calls", json={"call": "c1", "started_at": started_at})
        (start,) = values(redis_url, events.CALL_STARTED)
        assert start["started_at"] == events.timestamp(reply.json["started_at_ms"])
        sent_ms = {"1": 0, "2": 4_102_444_800_000}[started_at[0]]
        assert start["clock_off_ms"] == sent_ms - reply.json["started_at_ms"]

    def test_first_chunk_puts_right(self, web, redis_url):
        """The first chunk's arrival, less what was spoken before it, is when its call began."""
        ahead = audio(web, CHUNKS[0], ce_time="2100-01-01T00:00:00Z", ce_position="8000")
        assert ahead.status_code == 200
        (start,) = values(redis_url, events.CALL_STARTED)
        assert start["clock_off_ms"] > 0
        with client_of(redis_url) as client:
            found = client.hget(keys.call("default", "c1"), "started_at_ms")
        assert start["started_at"] == events.timestamp(int(found))


def test_batch_names_its_place(web, redis_url):
    """A batch that is refused says at which event, and that nothing of it was taken."""
    batch = [start_event(), chunk_event(CHUNKS[0]), {**chunk_event(CHUNKS[1]), "channel": None}]
    found = problem(web.post("/v1/events", json=batch, content_type=BATCH), 400, "bad-name")
    assert (found["index"], found["taken"]) == (2, 0)
    assert outbox(redis_url) == []


def test_batch_says_what_was_taken(web):
    """A batch that fails on its way says how far it came."""
    batch = [start_event(), chunk_event(CHUNKS[0]), chunk_event(CHUNKS[5])]
    found = problem(web.post("/v1/events", json=batch, content_type=BATCH), 409, "sequence-gap")
    assert (found["index"], found["taken"], found["next_seq"]) == (2, 2, 1)
