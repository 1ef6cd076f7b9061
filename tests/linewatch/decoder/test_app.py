"""The decoder over HTTP: good requests, every bad one, and a Redis that goes away."""

import base64
import json
import logging
import random
import signal
import time

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from infra.launcher import redis_server
from linewatch import events, keys, payloads
from linewatch import settings as configuration
from linewatch.calls import CallStart, ChannelKey, Codec
from linewatch.decoder import app as module
from linewatch.decoder.app import app_of, create
from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.decoder.ownership.cookies import COOKIE, FORWARD_HEADER, Hint
from linewatch.decoder.ownership.forwarder import Answer
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.road import Road
from linewatch.decoder.service import build
from linewatch.decoder.settings import DecoderSettings
from linewatch.errors import SettingsError
from linewatch.gateway import decoders
from linewatch.gateway.sender import ChannelSender
from tests.linewatch.decoder.pods import conversation, outbox, steps_of, told
from tests.support import fakes

TOKENS = ",".join(
    f"{tenant}={configuration.token_digest(f'secret-{tenant}')}" for tenant in ("acme", "beta")
)
HEADERS = {
    "content-type": "audio/PCMU",
    "ce-specversion": "1.0",
    "ce-type": events.AUDIO_CHUNK,
    "ce-source": "/phone",
    "ce-id": "s1-0",
    "ce-time": "2026-01-01T00:00:00Z",
    "ce-sequence": "0",
    "ce-position": "0",
    "ce-stream": "s1",
}
AGENT = "/v1/calls/c1/channels/agent"
CHUNKS = steps_of(conversation())[:-1]
POSTS = [f"{AGENT}/audio", f"{AGENT}/gap", f"{AGENT}/end", "/v1/calls", "/v1/events", "/decode"]
STRUCTURED = "application/cloudevents+json"


def service_of(redis_url, **env):
    """Put a decoder together that runs no threads."""
    given = {"VOSK_MODEL_PATH": "/", "COOKIE_KEYS": "new,old", "REDIS_URL": redis_url, **env}
    return build(configuration.load(DecoderSettings, given), fakes.HashRecognizers())


@pytest.fixture(name="service")
def _service(redis_url):
    return service_of(redis_url)


@pytest.fixture(name="web")
def _web(service):
    return app_of(service).test_client()


@pytest.fixture(name="guarded")
def _guarded(redis_url):
    """A client of a decoder that knows tokens."""
    return app_of(service_of(redis_url, TOKENS=TOKENS)).test_client()


def bearer(tenant):
    """Return the header of a tenant's token."""
    return {"Authorization": f"Bearer secret-{tenant}"}


def audio(web, step=CHUNKS[0], *, channel=AGENT, after=-1, body=None, **headers):
    """Send a chunk; *headers* change or, with None, leave out its own."""
    own = {
        **HEADERS,
        "ce-sequence": str(step.seq),
        "ce-position": str(step.position),
        "ce-stream": step.stream,
    }
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in {**own, **changed}.items() if value is not None}
    query = "" if after is None else f"?after={after}"
    return web.post(
        f"{channel}/audio{query}", data=step.audio if body is None else body, headers=sent
    )


def problem(reply, status, slug=None):
    """Check that *reply* is a whole problem and return it."""
    assert reply.status_code == status, reply.data
    assert reply.content_type == "application/problem+json"
    told_of = reply.json
    assert told_of["status"] == status
    assert told_of["type"].startswith("urn:linewatch:problem:")
    assert told_of["title"]
    assert told_of["detail"]
    assert "Traceback" not in reply.text
    if status == 503:
        assert int(reply.headers["Retry-After"]) >= 1
    if slug:
        assert told_of["type"] == f"urn:linewatch:problem:{slug}"
    return told_of


class TestCall:
    """A call from its announcement to its end."""

    def test_whole_call(self, web, redis_url):
        """A call is announced, heard and ended; every reply says where it stands."""
        announced = web.post("/v1/calls", json={"call": "c1", "line": "l1", "channels": ["agent"]})
        assert announced.status_code == 201
        for step in CHUNKS:
            reply = audio(web, step)
            assert reply.status_code == 200
            assert reply.json["next_seq"] == step.seq + 1
            assert reply.json["next_position"] == step.end_position
        state = web.get(AGENT)
        assert state.json == {
            "stream": "s1",
            "next_seq": len(CHUNKS),
            "next_position": CHUNKS[-1].end_position,
            "rate_hz": 8000,
            "ended": False,
        }
        ended = web.post(f"{AGENT}/end?after=-1", json={"stream": "s1", "seq": len(CHUNKS)})
        finals = ended.json["finals"]
        assert set(finals[0]) == {"index", "first_sample", "start_ms", "end_ms", "text", "words"}
        assert [f"{final['first_sample']}-final" for final in finals] == [
            name[2] for name in told(redis_url, "utterance")
        ]
        assert web.get(AGENT).json["ended"]
        again = web.post(f"{AGENT}/end?after=-1", json={"stream": "s1", "seq": len(CHUNKS)})
        assert (again.status_code, again.json["finals"]) == (200, finals)

    def test_announce_is_idempotent(self, web, redis_url):
        """The same call announced again is 200 with its first start."""
        body = {"call": "c1", "started_at": "2026-01-01T00:00:00Z"}
        first, again = (web.post("/v1/calls", json=body) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json == again.json == {"call": "c1", "started_at_ms": 1_767_225_600_000}
        assert len(told(redis_url, "started")) == 1

    def test_start_is_the_chunks_time(self, web, redis_url):
        """Unannounced, a call starts when its first chunk says, else now."""
        audio(web)
        audio(web, channel="/v1/calls/c2/channels/agent", ce_time=None)
        times = {dict(row)[b"key"]: dict(row)[b"ce_time"] for row in outbox(redis_url)}
        assert times[b"c1"] == b"2026-01-01T00:00:00Z"
        assert times[b"c2"] > b"2026-06"

    def test_gap_moves_on(self, web, redis_url):
        """A stated gap is told and the sender goes on after it."""
        audio(web)
        body = {"stream": "s1", "from_seq": 1, "next_seq": 4, "position": 8000, "reason": "lost"}
        reply = web.post(f"{AGENT}/gap?after=-1", json=body)
        assert (reply.json["next_seq"], reply.json["next_position"]) == (4, 8000)
        assert len(told(redis_url, "gap")) == 1

    def test_after_may_be_left_out(self, web):
        """Without ``after`` a reply holds what this step brought."""
        assert audio(web, after=None).json["finals"] == []

    def test_unknown_channel_state(self, web):
        """A channel that nobody knows is 404."""
        problem(web.get(AGENT), 404, "not-found")

    def test_chunk_size_is_free(self, web, redis_url):
        """20 ms, 250 ms and 1 s chunks give the same utterances."""
        said = []
        for chunk_ms in (20, 250, 1000):
            call = f"/v1/calls/c{chunk_ms}/channels/agent"
            steps = steps_of(conversation(), chunk_ms)
            for step in steps[:-1]:
                assert audio(web, step, channel=call).status_code == 200
            reply = web.post(f"{call}/end?after=-1", json={"stream": "s1", "seq": steps[-1].seq})
            said.append(reply.json["finals"])
        assert len(said[0]) > 1
        assert said[1:] == said[:1] * 2


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
        ({"ce_time": "0001-01-01T00:00:00+23:59"}, 400, "bad-chunk"),
        ({"ce_tenant": "a b"}, 400, "bad-name"),
        ({"after": "x"}, 400, "bad-chunk"),
        ({"channel": "/v1/calls/c1/channels/boss"}, 400, "bad-name"),
        ({"channel": "/v1/calls/a%20b/channels/agent"}, 400, "bad-name"),
        ({"channel": f"/v1/calls/{'x' * 129}/channels/agent"}, 400, "bad-name"),
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
        """A position already heard is 409."""
        audio(web)
        told_of = problem(audio(web, CHUNKS[1], ce_position="7"), 409, "position-conflict")
        assert told_of["next_position"] == 2000

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
        ("/v1/calls", {"call": "c1", "channels": ["boss"]}, 400),
        ("/v1/calls", {"call": "c1", "started_at": "9999-12-31T23:59:59-23:59"}, 400),
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


class TestRoutes:
    """Paths and methods."""

    @pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/calls/", "//decode", f"{AGENT}/x"])
    def test_unknown_path(self, web, path):
        """A path nobody serves is a 404 problem."""
        problem(web.post(path), 404)

    @pytest.mark.parametrize(("method", "path"), [
        ("GET", "/decode"), ("DELETE", AGENT), ("PUT", "/v1/calls"), ("POST", "/"),
        ("GET", f"{AGENT}/audio"),
    ])  # fmt: skip
    def test_wrong_method(self, web, method, path):
        """A method that a path does not take is a 405 problem that names those it takes."""
        reply = web.open(path, method=method)
        problem(reply, 405)
        assert set(reply.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} in ({"GET"}, {"POST"})

    def test_root_tells_info(self, web, service):
        """The root tells what this is and what its words depend on."""
        told_of = web.get("/").json
        assert told_of["pod"] == service.pod_id
        assert told_of["model"]["digest"] == "fake"
        assert told_of["model"]["profile"] == "fake"

    @pytest.mark.parametrize("probe", ["liveness", "readiness"])
    def test_both_probes(self, web, probe):
        """Both probes are answered, whatever Redis does."""
        assert web.get(f"/health/{probe}").json == {"status": "ok"}

    def test_metrics_can_be_parsed(self, web):
        """The metrics are Prometheus' text and count the chunk."""
        audio(web)
        reply = web.get("/metrics")
        assert reply.content_type.startswith("text/plain; version=0.0.4")
        found = {each.name: each for each in text_string_to_metric_families(reply.text)}
        assert found["linewatch_decoder_steps"].samples[0].value == 1
        assert found["linewatch_decoder_commit_seconds"].samples

    @pytest.mark.parametrize("ask", [audio, lambda web: post_good(web, f"{AGENT}/end")])
    def test_own_fault_is_a_problem(self, web, service, caplog, ask):
        """A fault of ours is a 500 problem; neither answer nor log repeat what was said."""

        def fail(_):
            raise ValueError("card number 4111")

        service.road.travel = fail
        reply = ask(web)
        assert "4111" not in reply.text
        problem(reply, 500, "internal-error")
        assert "4111" not in caplog.text
        assert "ValueError" in caplog.text


class TestFastLane:
    """Chunks, which do not go through Flask."""

    @pytest.mark.parametrize(("wrong", "status"), [
        ({"ce_type": "x"}, 400), ({"channel": "/v1/calls/-/channels/agent"}, 400),
        ({"channel": "/v1/calls/c%C3%A9/channels/agent"}, 400),
        ({"channel": "/v1/calls/c1/channels/both"}, 400), ({"body": b""}, 400),
        ({"body": b"x" * (BODY_LIMIT + 1)}, 413), ({"Content_Encoding": "gzip"}, 415),
        ({"after": "x"}, 400), ({"ce_sequence": "9"}, 409), ({"Cookie": f"{COOKIE}=forged"}, 403),
    ])  # fmt: skip
    def test_bad_chunk_is_problem(self, service, wrong, status):
        """Whatever is wrong with a chunk is answered with problem JSON."""
        web = app_of(service).test_client(use_cookies=False)
        audio(web)
        problem(audio(web, **wrong), status)

    @pytest.mark.parametrize("method", ["get", "put", "head"])
    def test_other_method_is_405(self, web, method):
        """Audio comes by POST: another method is refused, and told so."""
        answer = getattr(web, method)(f"{AGENT}/audio")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")

    def test_only_chunks(self, service):
        """Nothing but a chunk passes Flask by."""
        seen = []
        web = app_of(service)
        web.before_request(lambda: seen.append(True))
        audio(web.test_client())
        assert not seen
        web.test_client().get(AGENT)
        assert seen


class TestTenants:
    """Tokens and tenants."""

    @pytest.mark.parametrize("path", POSTS)
    @pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer wrong"}])
    def test_no_token(self, guarded, path, token):
        """Without a known token every route that takes anything is 401, its body unread."""
        reply = guarded.post(path, data=b"nonsense", headers={**HEADERS, **token})
        problem(reply, 401, "unauthorized")
        assert reply.headers["WWW-Authenticate"] == "Bearer"

    def test_state_needs_token(self, guarded):
        """Nor is the state of a channel told to strangers."""
        problem(guarded.get(AGENT), 401)

    def test_foreign_tenant(self, guarded):
        """Another tenant than the token's is 403."""
        problem(audio(guarded, ce_tenant="acme", **bearer("beta")), 403, "forbidden")

    def test_tenants_are_apart(self, guarded):
        """The same call of two tenants is two calls; one cannot see the other's."""
        assert audio(guarded, **bearer("acme")).status_code == 200
        problem(guarded.get(AGENT, headers=bearer("beta")), 404)
        guarded.delete_cookie(COOKIE, path="/v1/calls/c1")
        assert audio(guarded, **bearer("beta")).json["next_seq"] == 1

    def test_probes_are_open(self, guarded):
        """Probes and metrics need no token."""
        for path in ("/", "/health/liveness", "/health/readiness", "/metrics"):
            assert guarded.get(path).status_code == 200


class TestCookie:
    """The cookie that hints."""

    def test_set_once(self, web):
        """The first reply sets the cookie, the next ones do not."""
        first = audio(web).headers["Set-Cookie"]
        for wanted in ("HttpOnly", "Path=/v1/calls/c1", "SameSite=Strict", "Max-Age=3600"):
            assert wanted in first
        assert "Secure" not in first
        assert "Set-Cookie" not in audio(web, CHUNKS[1]).headers

    def test_secure_behind_https(self, web):
        """Where the outer scheme is https the cookie is Secure."""
        assert "Secure" in audio(web, X_Forwarded_Proto="https").headers["Set-Cookie"]

    @pytest.fixture(name="raw")
    def _raw(self, service):
        """A client that sends the cookie it is told to."""
        return app_of(service).test_client(use_cookies=False)

    def test_forged_is_forbidden(self, raw):
        """A forged cookie is 403 and takes nothing."""
        problem(audio(raw, Cookie=f"{COOKIE}=forged"), 403, "forbidden")
        problem(raw.get(AGENT), 404)

    def test_foreign_tenants_cookie(self, raw, service):
        """A cookie of another tenant is 403."""
        cookie = service.cookies.sign(Hint("acme", "c1", "pod-x"))
        problem(audio(raw, Cookie=f"{COOKIE}={cookie}"), 403, "forbidden")

    @pytest.mark.parametrize(
        "hint", [Hint("default", "other", "pod-x"), Hint("default", "c1", "pod-dead")]
    )
    def test_outdated_hint(self, raw, service, hint):
        """A cookie of another call or of a pod that is gone is replaced by a new one."""
        reply = audio(raw, Cookie=f"{COOKIE}={service.cookies.sign(hint)}")
        assert reply.status_code == 200
        assert "Set-Cookie" in reply.headers

    def test_expired_is_replaced(self, raw, service, monkeypatch):
        """A cookie that is too old is as good as none."""
        cookie = service.cookies.sign(Hint("default", "c1", service.pod_id))
        later = time.time() + 4000
        monkeypatch.setattr(service.cookies, "_clock_s", lambda: later)
        assert "Set-Cookie" in audio(raw, Cookie=f"{COOKIE}={cookie}").headers


class TestForward:
    """Requests between pods."""

    def test_meant_for_another(self, web, service):
        """A forward that names another pod is 421: addresses are used again."""
        reply = audio(web, **{FORWARD_HEADER: service.passes.sign("pod-old")})
        problem(reply, 421, "another-pod")

    def test_meant_for_us(self, web, service):
        """A forward that names this pod is served like any other request."""
        assert (
            audio(web, **{FORWARD_HEADER: service.passes.sign(service.pod_id)}).status_code == 200
        )

    def test_answer_is_handed_back(self, service, web):
        """The owner's answer is handed back with its cookie."""
        headers = {
            "content-type": "application/json",
            "set-cookie": "linewatch=x",
            "retry-after": "3",
        }
        service.road.travel = lambda _: Answer(503, headers, b"{}")
        reply = audio(web)
        assert (reply.status_code, reply.data) == (503, b"{}")
        assert reply.headers["Set-Cookie"] == "linewatch=x"
        assert reply.headers["Retry-After"] == "3"
        assert reply.content_type == "application/json"

    def test_inner_request_is_whole(self, redis_url, service):
        """A step inside an event is forwarded as a request of its own, and understood there."""
        owner = app_of(service)
        other = service_of(redis_url)
        service.pod.renew()
        other.road._forwarder = Through(owner, other.passes)
        web = app_of(other).test_client()
        audio(owner.test_client())
        event = chunk_event(CHUNKS[1])
        reply = web.post("/v1/events", json=event, content_type=STRUCTURED)
        assert reply.json["results"][0]["next_seq"] == 2
        event = chunk_event(CHUNKS[9])
        problem(web.post("/v1/events", json=event, content_type=STRUCTURED), 409, "sequence-gap")
        other.road._forwarder.status = 503
        problem(web.post("/v1/events", json=event, content_type=STRUCTURED), 503)


class Through:
    """A forwarder straight into another pod's application."""

    def __init__(self, app, passes):
        self._web = app.test_client(use_cookies=False)
        self._passes = passes
        self.status = None

    def send(self, owner, method, path, headers, body):
        """See `Forwarder`."""
        sent = {**headers, FORWARD_HEADER: self._passes.sign(owner.pod)}
        reply = self._web.open(path, method=method, headers=sent, data=body)
        return Answer(self.status or reply.status_code, dict(reply.headers), reply.data)


def chunk_event(step, call="c1"):
    """Return a chunk as a structured event."""
    return {
        "specversion": "1.0",
        "type": events.AUDIO_CHUNK,
        "source": "/pbx",
        "id": f"s1-{step.seq}",
        "subject": call,
        "channel": "agent",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "audio/x-raw;format=S16LE;rate=8000"
        if step.codec is Codec.S16LE
        else "audio/PCMU",
        "sequence": str(step.seq),
        "position": str(step.position),
        "stream": "s1",
        "data_base64": base64.b64encode(step.audio).decode(),
    }


def start_event(call="c1"):
    """Return a call's start as a structured event."""
    return {
        "specversion": "1.0",
        "type": events.CALL_STARTED,
        "source": "/pbx",
        "id": f"{call}-start",
        "time": "2026-01-01T00:00:00Z",
        "data": {
            "tenant": "default",
            "call": call,
            "line": "line-7",
            "agent": "",
            "queue": "",
            "direction": "inbound",
            "started_at": "2026-01-01T00:00:00Z",
        },
    }


def end_event(call="c1"):
    """Return a call's end as a structured event."""
    counts = {"chunks": 0, "utterances": 0, "gaps": 0}
    times = {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00Z"}
    data = {"tenant": "default", "call": call, "reason": "hangup", **times, **counts}
    return {**start_event(call), "type": events.CALL_ENDED, "id": f"{call}-end", "data": data}


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

    def test_silent_channel_is_not_ended(self, web, service):
        """A channel that never heard anything is not said to have ended."""
        start = CallStart("default", "c1", "c1", 0)
        service.store.claim(ChannelKey.of("default", "c1", "agent"), start, rate_hz=8000)
        again = web.post("/v1/events", json=end_event(), content_type=STRUCTURED)
        assert again.json == {"results": [{"ended": []}]}

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
        ({**chunk_event(CHUNKS[0]), "channel": "boss"}, 400),
        ({**chunk_event(CHUNKS[0]), "datacontenttype": "audio/wav"}, 415),
    ])  # fmt: skip
    def test_wrong_event(self, web, redis_url, event, status):
        """A wrong event is refused whole."""
        problem(web.post("/v1/events", json=event, content_type=STRUCTURED), status)
        assert outbox(redis_url) == []

    def test_no_event(self, web):
        """What is no event is 400."""
        problem(web.post("/v1/events", data=b"hello", content_type="text/plain"), 400, "bad-event")


class TestDecode:
    """``POST /decode``, as the original demo's clients send it."""

    def ask(self, web, samples, **fields):
        """Send what a client sends."""
        body = {
            "audio": [int(each) for each in samples],
            "sample_rate": None,
            "do_finalize": False,
            "id": "phone-1",
        }
        return web.post("/decode", json={**body, **fields})

    def test_words_come_and_are_final(self, web, redis_url):
        """Partial words come while somebody speaks, all words and their confidence at the end."""
        sound = fakes.speech(2.0, 16_000)
        partials = [
            self.ask(web, sound[begin : begin + 8000]).json for begin in range(0, 32_000, 8000)
        ]
        assert partials[-1]["hstr"]
        assert partials[-1]["confidence"] == 0.0
        final = self.ask(web, [], do_finalize=True)
        assert set(final.json) == {"hstr", "confidence"}
        assert final.json["hstr"] == told_text(redis_url)[-1]
        assert final.json["confidence"] == 1.0
        assert len({name[1] for name in told(redis_url)}) == 2

    def test_clients_are_apart(self, web, redis_url):
        """Each client's id is a call of its own."""
        for name in ("phone-1", "phone-2"):
            assert self.ask(web, [0] * 800, id=name).json == {"hstr": "", "confidence": 0.0}
        assert len(told(redis_url, "started")) == 2

    def test_client_goes_on_after_end(self, web, service, redis_url):
        """When a client's call was ended by the reaper, its next request begins another."""
        now_ms = [service.now_ms()]
        object.__setattr__(service, "now_ms", lambda: now_ms[0])
        self.ask(web, [0] * 800)
        with redis.Redis.from_url(redis_url) as client:
            (member,) = client.zrange(keys.SESSIONS, 0, -1)
        key = keys.of_member(member.decode())
        service.sessions.abandon(key)
        now_ms[0] += 1
        assert self.ask(web, [0] * 800).status_code == 200
        assert self.ask(web, [0] * 800).status_code == 200
        assert len(told(redis_url, "started")) == 2

    def test_no_pause(self, web, service, redis_url):
        """A client that went away after an utterance is given up like any other."""
        self.ask(web, [0] * 800, do_finalize=True)
        with redis.Redis.from_url(redis_url) as client:
            (member,) = client.zrange(keys.SESSIONS, 0, -1)
        assert not service.store.waiting(keys.of_member(member.decode())).paused

    @pytest.mark.parametrize("fields", [
        {"broker": "evil:9092"}, {"topic": "x"}, {"callback": "http://169.254.169.254/"},
        {"sample_rate": 0}, {"sample_rate": "8000"}, {"do_finalize": 1}, {"id": None},
        {"audio": [70_000]}, {"audio": [1.5]}, {"audio": "AAAA"},
    ])  # fmt: skip
    def test_wrong_request(self, web, redis_url, fields):
        """A wrong request, or one that names a host, is 400 and leaves nothing behind."""
        problem(self.ask(web, [0] * 8, **fields), 400, "bad-request")
        with redis.Redis.from_url(redis_url) as client:
            assert client.keys() == []


def told_text(redis_url):
    """Return the texts of all utterances."""
    rows = [dict(row) for row in outbox(redis_url)]
    return [json.loads(row[b"value"])["text"] for row in rows if b"final" in row[b"ce_type"]]


class TestFull:
    """A decoder without room."""

    def test_no_room(self, redis_url):
        """A new channel at a full decoder is 503; the one that goes on goes on."""
        web = app_of(service_of(redis_url, CAPACITY="1")).test_client()
        assert audio(web).status_code == 200
        reply = audio(web, channel="/v1/calls/c2/channels/agent")
        problem(reply, 503, "overloaded")
        assert audio(web, CHUNKS[1]).status_code == 200

    def test_refused_for_long(self, redis_url):
        """A line refused for longer than its ring holds begins once there is room, the gap told."""
        web = app_of(service_of(redis_url, CAPACITY="1")).test_client()
        audio(web)
        sender = ChannelSender(
            ChannelKey.of("default", "c2", "agent"), 0, Codec.PCMU, 8000, _Direct(web),
            stream="s2", chance=random.Random(1), ring_s=2,
        )  # fmt: skip
        for _ in range(20):
            sender.push(b"\xff" * 2000)
            sender.step()
        web.post(f"{AGENT}/end", json={"stream": "s1", "seq": 1})
        for _ in range(4):
            sender.push(b"\xff" * 2000)
            sender.step()
        while sender.step() is not None:
            assert not sender.done
        assert web.get("/v1/calls/c2/channels/agent").json["next_position"] == 48_000
        records = map(dict, outbox(redis_url))
        gaps = [json.loads(each[b"value"]) for each in records if b"gap" in each[b"ce_type"]]
        assert {gap["reason"] for gap in gaps} == {"overrun"}
        assert (gaps[0]["start_ms"], gaps[-1]["end_ms"]) == (0, 4000)


class _Direct:
    """The line's way to a decoder's test client."""

    def __init__(self, web):
        self._web = web

    def send(self, method, path, headers, body):
        """Ask as a line does."""
        reply = self._web.open(path, method=method, headers=headers, data=body)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return decoders.Answer(reply.status_code, headers, (), reply.data)


class TestAway:
    """A Redis that goes away and comes back."""

    def test_503_then_resumes(self, tmp_path):
        """Without Redis everything is 503 within a second, and resumes by itself, nothing lost."""
        port = redis_server.free_port()
        url = f"redis://127.0.0.1:{port}/0"
        process = redis_server.start(port, tmp_path)
        try:
            service = service_of(url)
            service.start()
            web = app_of(service).test_client()
            for step in CHUNKS[:20]:
                before = audio(web, step).json
            process.terminate()
            process.wait()
            for path in POSTS:
                began_s = time.monotonic()
                problem(post_good(web, path), 503)
                assert time.monotonic() - began_s < 1.0
            assert web.get("/health/liveness").status_code == 200
            process = redis_server.start(port, tmp_path)
            after = eventually_ok(lambda: audio(web, CHUNKS[19])).json
            assert (after["next_seq"], after["partial"]) == (20, before["partial"])
            assert audio(web, CHUNKS[20]).json["next_seq"] == 21
            service.stop()
        finally:
            process.terminate()
            process.wait()

    def test_hung_redis(self, tmp_path):
        """A Redis that hangs is 503 within a second; what it did late is a repeat, not a second."""
        port = redis_server.free_port()
        process = redis_server.start(port, tmp_path, durable=False)
        try:
            web = app_of(service_of(f"redis://127.0.0.1:{port}/0")).test_client()
            audio(web)
            process.send_signal(signal.SIGSTOP)
            began_s = time.monotonic()
            problem(audio(web, CHUNKS[1]), 503, "store-unavailable")
            assert time.monotonic() - began_s < 1.0
            process.send_signal(signal.SIGCONT)
            assert eventually_ok(lambda: audio(web, CHUNKS[1])).json["next_seq"] == 2
            assert audio(web, CHUNKS[2]).json["next_seq"] == 3
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait()


def post_good(web, path):
    """Send a good request to one of the routes."""
    if path.endswith("/audio"):
        return audio(web, CHUNKS[20])
    gap = {"stream": "s1", "from_seq": 20, "next_seq": 21, "position": 90_000, "reason": "lost"}
    bodies = {
        f"{AGENT}/gap": gap,
        f"{AGENT}/end": {"stream": "s1", "seq": 20},
        "/v1/calls": {"call": "c2"},
        "/decode": {"audio": [0], "sample_rate": 8000, "do_finalize": False, "id": "x"},
    }
    if path == "/v1/events":
        return web.post(path, json=start_event("c2"), content_type=STRUCTURED)
    return web.post(path, json=bodies[path])


def eventually_ok(ask, timeout_s=5.0):
    """Ask until the answer is 200."""
    deadline_s = time.monotonic() + timeout_s
    while (reply := ask()).status_code != 200:
        assert time.monotonic() < deadline_s, reply.text
        time.sleep(0.05)
    return reply


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


class TestCreate:
    """What gunicorn calls."""

    @pytest.fixture(autouse=True)
    def _quiet(self, monkeypatch):
        monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    def test_wrong_setting(self, monkeypatch, capsys):
        """A wrong setting ends the worker so that gunicorn stops, with one clear line."""
        monkeypatch.delenv("VOSK_MODEL_PATH", raising=False)
        monkeypatch.setenv("COOKIE_KEYS", "x")
        with pytest.raises(SystemExit) as caught:
            create()
        assert caught.value.code == 4
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("decoder: VOSK_MODEL_PATH must be set")

    def test_no_model(self, monkeypatch, capsys, tmp_path):
        """So does a folder without a model."""

        def refuse(path):
            raise SettingsError(f"there is no model in {path}")

        monkeypatch.setattr(module, "load", refuse)
        monkeypatch.setenv("VOSK_MODEL_PATH", str(tmp_path))
        monkeypatch.setenv("COOKIE_KEYS", "x")
        with pytest.raises(SystemExit):
            create()
        assert "no model" in capsys.readouterr().err

    def test_started_application(self, monkeypatch, redis_url):
        """With good settings the application serves and its threads run."""
        monkeypatch.setattr(module, "load", lambda _: fakes.HashRecognizers())
        monkeypatch.setenv("VOSK_MODEL_PATH", "/")
        monkeypatch.setenv("COOKIE_KEYS", "x")
        monkeypatch.setenv("REDIS_URL", redis_url)
        app = create()
        service = app.extensions["linewatch"]
        assert audio(app.test_client()).status_code == 200
        assert [pod.pod for pod in service.store.pods()] == [service.pod_id]
        service.stop()


def test_edge_is_wired_to_parts(service):
    """The service holds the parts that the edge speaks to."""
    assert isinstance(service.road, Road)
    assert isinstance(service.road._placing, Placing)
