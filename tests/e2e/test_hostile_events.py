"""CloudEvents that nobody should send, binary, structured and in batches, to all three receivers.

``make attack`` sends ten thousand to each; the suite a few hundred.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from linewatch import events
from linewatch.board import app as board_app
from linewatch.board.store import Board
from linewatch.calls import Channel, ChannelKey, Score, Utterance
from linewatch.decoder.app import app_of
from linewatch.sending.outlet import Outlet
from linewatch.sentiment import app as sentiment_app
from linewatch.sentiment import warmup
from linewatch.serving.function import routed
from tests.linewatch.decoder.phone_requests import service_of

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MOST_REPLY_S = 10.0
#: A round's; Hypothesis remembers all it tried until the round ends. The growth of memory from
#: the first round's end on says something.
LONG = 1000
MOST_GROWTH_BYTES = 64 * 1024 * 1024
KEY = ChannelKey("default", "c1", Channel.AGENT)
SAID = Utterance(KEY, 1_767_225_600_000, 0, 0, 0, 900, "the bill is wrong")
SCORED = Score(KEY, 1_767_225_600_000, 0, 0, 0, 900, SAID.text, -0.5, 0.5, ("bill",), "c", "s")
TYPES = st.sampled_from([*events.TOPICS, events.AUDIO_CHUNK, "x"]) | st.text(max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["agent", "c1", "default", "1.0", "\\ud800", "\ud800", "\\0"])
    | st.sampled_from(["2026-01-01T00:00:00Z", "9999-12-31T24:00:00Z", "9999-W53-7"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def good(value):
    """Return a good event as its structured members."""
    event = events.utterance_scored(value) if isinstance(value, Score) else None
    headers, body = events.to_http(event or events.utterance_final(value))
    members = {name[3:]: told for name, told in headers.items() if name.startswith("ce-")}
    return {**members, "datacontenttype": "application/json", "data": json.loads(body)}


GOOD = [good(SAID), good(SCORED)]


@st.composite
def members(draw):
    """Draw a good event, mutated here and there, or anything at all."""
    made = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    if draw(st.booleans()):
        made["type"] = draw(TYPES)
    for name in draw(st.lists(st.sampled_from(sorted(made)), max_size=2)):
        made[name] = draw(JSON)
    if isinstance(made["data"], dict) and made["data"] and draw(st.booleans()):
        made["data"][draw(st.sampled_from(sorted(made["data"])))] = draw(JSON)
    for name in draw(st.lists(st.sampled_from(sorted(made)), max_size=2)):
        made.pop(name, None)
    return made


def binary(made):
    """Return *made* as headers and body; what no header can hold is left out."""
    told = {f"ce-{name}": str(value) for name, value in made.items() if name != "data"}
    kept = {name: value for name, value in told.items() if value.isascii() and value.isprintable()}
    return {**kept, "content-type": "application/json"}, json.dumps(made.get("data")).encode()


REQUESTS = st.one_of(
    members().map(binary),
    members().map(lambda made: ({"content-type": STRUCTURED}, json.dumps(made).encode())),
    st.lists(members(), max_size=4).map(
        lambda made: ({"content-type": BATCH}, json.dumps(made).encode())
    ),
    st.tuples(
        st.sampled_from([STRUCTURED, BATCH, "application/json", "", "audio/PCMU"]).map(
            lambda kind: {"content-type": kind}
        ),
        st.binary(max_size=400) | JSON.map(lambda made: json.dumps(made).encode()),
    ),
)


@pytest.fixture(name="receiver", params=["decoder", "sentiment", "board"])
def _receiver(request, redis_url):
    """A receiver's client, and the path that takes events."""
    if request.param == "decoder":
        yield app_of(service_of(redis_url)).test_client(use_cookies=False), "/v1/events"
    elif request.param == "sentiment":
        function = sentiment_app.build({"REPLY": "true"}, warmup.load)
        function.handler.warmup.scorer()
        yield routed(function).test_client(), "/"
    else:
        keeping = board_app.Keeping(Board.from_url(redis_url), Outlet(is_reply=True))
        yield board_app._routed(keeping).test_client(), "/"
        keeping.board.close()


def resident_bytes():
    """Return what this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def in_round(number, count, send):
    """Let Hypothesis draw *count* requests and *send* each."""
    drawn = settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=HealthCheck
    )
    seed(11 + number)(drawn(given(REQUESTS)(send)))()
    gc.collect()


def test_hostile_events_are_answered(receiver, attacks, caplog, capsys):
    """Each is a success or a whole problem of the sender's, soon, and no traceback is logged."""
    web, path = receiver
    counts, slowest_s, held = {}, [0.0], []

    def send(sent):
        headers, body = sent
        began_s = time.thread_time()
        reply = web.post(path, data=body, headers=headers)
        slowest_s[0] = max(slowest_s[0], time.thread_time() - began_s)
        counts[reply.status_code] = counts.get(reply.status_code, 0) + 1
        assert reply.status_code < 500
        if reply.status_code >= 400:
            assert reply.content_type == "application/problem+json"
            assert reply.json["detail"]
        assert "Traceback" not in reply.text

    for number in range(max(1, attacks // LONG)):
        in_round(number, min(attacks, LONG), send)
        held.append(resident_bytes())
    growth = held[-1] - held[0]
    if attacks >= LONG:
        with capsys.disabled():
            sys.stdout.write(
                f"\n{path}: {sum(counts.values())} events, {counts}, 0 unexpected 5xx, "
                f"slowest {slowest_s[0]:.2f} s, {growth / 2**20:+.1f} MiB\n"
            )
    assert all(record.exc_info is None for record in caplog.records)
    assert "Traceback" not in caplog.text
    assert slowest_s[0] < MOST_REPLY_S
    if attacks >= LONG:
        assert growth < MOST_GROWTH_BYTES
    assert {status for status in counts if status < 300}
    assert {status for status in counts if status >= 400}
