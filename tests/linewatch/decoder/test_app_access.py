"""Who may ask a decoder, and which pod answers: tokens, cookies and forwards."""

import time

import pytest

from linewatch.decoder.app import app_of
from linewatch.decoder.ownership.cookies import COOKIE, FORWARD_HEADER, Hint
from linewatch.decoder.ownership.forwarder import Answer
from tests.linewatch.decoder.phone_requests import (
    AGENT,
    CHUNKS,
    HEADERS,
    POSTS,
    STRUCTURED,
    audio,
    bearer,
    chunk_event,
    problem,
    service_of,
)


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
