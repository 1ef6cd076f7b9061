"""Requests that phones and phone systems send to a decoder's application, and its problems."""

from __future__ import annotations

import base64

from linewatch import events
from linewatch import settings as configuration
from linewatch.calls import Codec
from linewatch.decoder.service import build
from linewatch.decoder.settings import DecoderSettings
from tests.linewatch.decoder.pods import conversation, steps_of
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
    given = {
        "VOSK_MODEL_PATH": "/",
        "COOKIE_KEYS": "new,old",
        "REDIS_URL": redis_url,
        "START_BELIEVED_S": "10000000000",
        **env,
    }
    return build(configuration.load(DecoderSettings, given), fakes.HashRecognizers())


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
