"""A tenant on another tenant's call: by every route it is a call that nobody knows."""

from __future__ import annotations

import json

import pytest

from linewatch import events
from linewatch.decoder.app import app_of
from linewatch.decoder.ownership.cookies import COOKIE
from tests.linewatch.decoder.phone_requests import (
    AGENT,
    CHUNKS,
    STRUCTURED,
    TOKENS,
    audio,
    bearer,
    service_of,
)

END = {"stream": "s1", "seq": 1}
GAP = {"stream": "s1", "from_seq": 1, "next_seq": 2, "position": 9000, "reason": "lost"}


@pytest.fixture(name="web")
def _web(redis_url):
    """A decoder on which acme has a call, and its cookie."""
    web = app_of(service_of(redis_url, TOKENS=TOKENS)).test_client(use_cookies=False)
    first = audio(web, **bearer("acme"))
    web.cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert web.cookie.startswith(f"{COOKIE}=")
    return web


def _asked(web, path, body, **headers):
    ask = web.get if body is None else web.post
    sent = {} if body is None else {"json": body}
    return ask(path, headers={**bearer("beta"), **headers}, **sent)


@pytest.mark.parametrize(
    ("path", "body"), [(AGENT, None), (f"{AGENT}/gap", GAP), (f"{AGENT}/end", END)]
)
def test_foreign_call_is_unknown(web, path, body):
    """It is answered as one that never was, byte for byte, and acme's goes on undisturbed."""
    foreign = _asked(web, path, body)
    never = _asked(web, path.replace("c1", "c-never"), body)
    assert (foreign.status_code, never.status_code) == (404, 404)
    assert foreign.data == never.data
    assert audio(web, CHUNKS[1], **bearer("acme")).json["next_seq"] == 2


@pytest.mark.parametrize("path", [f"{AGENT}/gap", f"{AGENT}/end"])
def test_foreign_cookie_is_forbidden(web, path):
    """Another tenant's cookie opens nothing."""
    body = GAP if path.endswith("gap") else END
    assert _asked(web, path, body, Cookie=web.cookie).status_code == 403


@pytest.mark.parametrize("claimed", ["ce-tenant", "event", "data"])
def test_foreign_event_is_forbidden(web, claimed):
    """An event that names another tenant, anywhere, is 403 and takes nothing."""
    data = {"tenant": "acme" if claimed == "data" else "beta", "call": "c9", "line": "l"}
    data |= {"agent": "", "queue": "", "direction": "inbound", "started_at": "2026-01-01T00:00:00Z"}
    event = {"specversion": "1.0", "type": events.CALL_STARTED, "source": "/x", "id": "1"}
    event |= {"subject": "c9", "data": data, "tenant": "acme" if claimed == "event" else "beta"}
    headers = {**bearer("beta"), **({"ce-tenant": "acme"} if claimed == "ce-tenant" else {})}
    reply = web.post("/v1/events", data=json.dumps(event), content_type=STRUCTURED, headers=headers)
    assert reply.status_code == 403


def test_foreign_announcement_is_ones_own(web):
    """The same call id announced by another tenant is a call of its own."""
    assert _asked(web, "/v1/calls", {"call": "c1"}).status_code == 201
    assert audio(web, CHUNKS[1], **bearer("acme")).json["next_seq"] == 2
