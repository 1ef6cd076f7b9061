"""Requests the decoder refuses: wrong chunks, wrong bodies, and whatever a fuzzer sends."""

import json

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewatch import events, payloads
from linewatch.decoder.app import app_of
from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.decoder.ownership.cookies import FORWARD_HEADER
from tests.linewatch.decoder.phone_requests import (
    AGENT,
    CHUNKS,
    HEADERS,
    POSTS,
    STRUCTURED,
    audio,
    problem,
    service_of,
)
from tests.linewatch.decoder.pods import outbox, told


class TestBadChunk:
    """Every wrong chunk of the issue's list, and how it is answered."""

    @pytest.mark.parametrize(("changes", "status", "slug"), [
        ({"content_type": "text/plain"}, 415, "unsupported-media-type"),
        ({"content_type": None}, 415, "unsupported-media-type"),
        ({"content_type": "audio/L16;rate=16000", "body": b"123"}, 400, "bad-chunk"),
        ({"content_type": "audio/L16;rate=0"}, 400, "bad-chunk"),
        ({"content_type": "audio/L16;rate=192000"}, 400, "bad-chunk"),
        ({"content_type": "audio/L16"}, 400, "bad-chunk"),
        ({"body": b""}, 400, "bad-chunk"),
        ({"ce_sequence": "-1"}, 400, "bad-chunk"),
        ({"ce_sequence": "1.5"}, 400, "bad-chunk"),
        ({"ce_sequence": None}, 400, "bad-chunk"),
        ({"ce_sequence": str(1 << 53)}, 400, "bad-chunk"),
        ({"ce_position": str(1 << 53)}, 400, "bad-chunk"),
        ({"ce_position": str(1 << 40)}, 400, "bad-chunk"),
        ({"ce_position": "x"}, 400, "bad-chunk"),
        ({"ce_stream": None}, 400, "bad-name"),
        ({"ce_stream": "a b"}, 400, "bad-name"),
        ({"ce_specversion": "0.3"}, 400, "bad-event"),
        ({"ce_type": "x"}, 400, "bad-event"),
        ({"ce_time": "noon"}, 400, "bad-chunk"),
        ({"ce_tenant": "a b"}, 400, "bad-name"),
        ({"after": "x"}, 400, "bad-chunk"),
        ({"channel": "/v1/calls/c1/channels/Boss"}, 400, "bad-name"),
        ({"channel": "/v1/calls/a%0Ab/channels/agent"}, 400, "bad-name"),
        ({"channel": f"/v1/calls/{'x' * 257}/channels/agent"}, 400, "bad-name"),
        ({"Content_Encoding": "gzip"}, 415, "unsupported-media-type"),
        ({"body": b"\xff" * (BODY_LIMIT + 1)}, 413, "too-large"),
        ({"linewatch_forward": "pod.forged"}, 403, "forbidden"),
    ])  # fmt: skip
    def test_is_a_problem(self, web, redis_url, changes, status, slug):
        """A wrong chunk is a whole problem that says what to do, and leaves nothing behind."""
        problem(audio(web, **changes), status, slug)
        with redis.Redis.from_url(redis_url) as client:
            assert client.keys() == []

    def test_largest_body_is_taken(self, web):
        """256 KiB are taken."""
        assert audio(web, body=b"\xff" * BODY_LIMIT).status_code == 200

    def test_gap_tells_next(self, web):
        """A step too far is 409 with what is due."""
        audio(web)
        told_of = problem(audio(web, CHUNKS[3]), 409, "sequence-gap")
        assert (told_of["next_seq"], told_of["next_position"]) == (1, 2000)

    def test_other_bytes(self, web):
        """Other bytes under an old number are 409."""
        audio(web)
        problem(audio(web, body=b"\0" * 2000), 409, "sequence-conflict")

    def test_old_position(self, web):
        """A position more than a second back is 409."""
        for number in range(5):
            audio(web, CHUNKS[number])
        told_of = problem(audio(web, CHUNKS[5], ce_position="7"), 409, "position-conflict")
        assert told_of["next_position"] == 10_000

    def test_replaced_stream(self, web):
        """A sender that was replaced is told to stop."""
        audio(web)
        assert audio(web, CHUNKS[1], ce_stream="s2").status_code == 200
        problem(audio(web, CHUNKS[1]), 409, "stream-replaced")

    def test_other_rate(self, web):
        """A channel keeps its rate."""
        audio(web)
        problem(audio(web, CHUNKS[1], content_type="audio/PCMU;rate=16000"), 400, "bad-chunk")

    def test_far_position_harms_nobody(self, web, redis_url):
        """A position days ahead makes a gap that can be told, and the channel goes on."""
        audio(web)
        assert audio(web, CHUNKS[1], ce_position=str(1 << 31)).status_code == 200
        assert len(told(redis_url, "gap")) == 1
        assert audio(web, CHUNKS[2], ce_position=str((1 << 31) + 2000)).status_code == 200
        gap = {"stream": "s1", "from_seq": 3, "next_seq": 4, "reason": "lost"}
        week = 7 * 86_400 * 8000
        problem(web.post(f"{AGENT}/gap", json={**gap, "position": week}), 400, "bad-chunk")
        assert web.post(f"{AGENT}/gap", json={**gap, "position": week - 1}).status_code == 200
        missing = [json.loads(dict(row)[b"value"])["end_ms"] for row in outbox(redis_url)[-1:]]
        assert missing == [payloads.CALL_LIMIT_MS - 1]

    def test_ended_call(self, web):
        """A call that ended is 410, whatever comes."""
        audio(web)
        web.post(f"{AGENT}/end", json={"stream": "s1", "seq": 1})
        problem(audio(web, CHUNKS[1]), 410, "call-ended")
        problem(web.post("/v1/calls", json={"call": "c1"}), 410, "call-ended")
        problem(audio(web, channel="/v1/calls/c1/channels/customer"), 410, "call-ended")


class TestBadJson:
    """Wrong bodies of the other routes."""

    @pytest.mark.parametrize("path", [f"{AGENT}/gap", f"{AGENT}/end", "/v1/calls", "/decode"])
    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 99_999])
    def test_no_object(self, web, path, body):
        """What is no JSON object is 400."""
        problem(web.post(path, data=body), 400, "bad-request")

    @pytest.mark.parametrize(("path", "body", "status"), [
        (f"{AGENT}/end", {"stream": "s1"}, 400),
        (f"{AGENT}/end", {"stream": "s1", "seq": 0}, 404),
        (f"{AGENT}/gap", {"stream": "s1", "from_seq": 0, "next_seq": 0, "position": 0,
                          "reason": "lost"}, 400),
        (f"{AGENT}/gap", {"stream": "s1", "from_seq": 0, "next_seq": 1, "position": 0,
                          "reason": "lost"}, 404),
        ("/v1/calls", {}, 400),
        ("/v1/calls", {"call": "c1", "channels": ["Boss"]}, 400),
        ("/v1/calls", {"call": "c1", "started_at": "noon"}, 400),
    ])  # fmt: skip
    def test_wrong_fields(self, web, path, body, status):
        """A field that is wrong is 400, a channel nobody knows 404."""
        problem(web.post(path, json=body), status)

    @pytest.mark.parametrize("path", POSTS)
    def test_too_large(self, web, path):
        """A body of more than 256 KiB is 413 on every route."""
        headers = {**HEADERS, "content-type": "audio/PCMU"}
        problem(web.post(path, data=b"x" * (BODY_LIMIT + 1), headers=headers), 413, "too-large")

    @pytest.mark.parametrize("path", POSTS)
    def test_compressed_body(self, web, path):
        """A compressed body is refused unread."""
        reply = web.post(path, data=b"x", headers={**HEADERS, "Content-Encoding": "gzip"})
        problem(reply, 415, "unsupported-media-type")


BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(
            [
                "call",
                "line",
                "channels",
                "started_at",
                "stream",
                "seq",
                "from_seq",
                "next_seq",
                "position",
                "reason",
                "audio",
                "sample_rate",
                "do_finalize",
                "id",
                "specversion",
                "type",
                "source",
                "data",
                "subject",
                "time",
                "channel",
            ]
        ),
        st.none()
        | st.integers(-2, 1 << 60)
        | st.sampled_from([True, "c1", "s1", "lost", "agent", "1.0", [0, 1], ["agent"], {}])
        | st.sampled_from(sorted(events.TOPICS)),
    ).map(lambda value: json.dumps(value).encode()),
)
RAW_HEADERS = st.dictionaries(
    st.sampled_from(
        [*HEADERS, "authorization", "cookie", FORWARD_HEADER, "ce-tenant", "ce-channel"]
    ),
    st.sampled_from([*HEADERS.values(), STRUCTURED, "application/cloudevents-batch+json", "7"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)


@pytest.mark.parametrize("path", POSTS)
def test_fuzzed_requests(redis_url, path):
    """Whatever is posted, every route answers a success or a whole problem, never a fault."""
    web = app_of(service_of(redis_url)).test_client(use_cookies=False)

    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(body=BODIES, headers=RAW_HEADERS, base=st.booleans())
    def fuzz(body, headers, base):
        sent = {**(HEADERS if base else {}), **headers}
        reply = web.post(path, data=body, headers=sent)
        if reply.status_code not in (200, 201):
            problem(reply, reply.status_code)
            assert reply.status_code < 500

    fuzz()
