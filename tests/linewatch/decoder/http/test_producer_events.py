"""Whole CloudEvents of a phone system."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch import events
from linewatch.calls import CallEnd, ChannelKey, Codec, EndReason
from linewatch.decoder.http.producer_events import BATCH, HeardOn, deed_of, events_of
from linewatch.errors import BadEvent, BadName, BadRequest, Forbidden, LinewatchError, Unprocessable
from tests.linewatch.decoder.pods import START, STARTED_AT_MS, tried

STRUCTURED = "application/cloudevents+json"
END = CallEnd("default", "c1", STARTED_AT_MS, STARTED_AT_MS + 9000, EndReason.HANGUP, 0, 0, 0)
CHUNK = {
    "specversion": "1.0",
    "type": events.AUDIO_CHUNK,
    "source": "/pbx",
    "id": "s1-4",
    "subject": "c1",
    "time": "2026-01-01T00:00:00Z",
    "datacontenttype": "audio/x-raw;format=S16LE;rate=16000",
    "channel": "agent",
    "sequence": "4",
    "position": "8000",
    "stream": "s1",
    "data_base64": base64.b64encode(b"\1\2\3\4").decode(),
}


def read(event, tenant="default"):
    """Read one structured event given as a dictionary."""
    (found,) = events_of(STRUCTURED, {"content-type": STRUCTURED}, json.dumps(event).encode())
    return deed_of(found, tenant)


def as_json(event):
    """Return an event as a structured dictionary."""
    attributes = {**event.get_attributes(), "time": event.get_time().isoformat()}
    return {**attributes, "data": event.get_data()}


class TestForms:
    """How events may come."""

    def test_binary_event(self):
        """A binary event is read."""
        headers, body = events.to_http(events.call_started(START))
        lower = {name.lower(): value for name, value in headers.items()}
        (found,) = events_of(lower["content-type"], lower, body)
        assert deed_of(found, "default") == START

    def test_structured_event(self):
        """A structured event is read."""
        assert read(as_json(events.call_started(START))) == START
        assert read(as_json(events.call_ended(END))) == END

    def test_batch_keeps_order(self):
        """A batch is read in its order."""
        body = json.dumps(
            [as_json(events.call_started(START)), CHUNK, as_json(events.call_ended(END))]
        )
        found = events_of(f"{BATCH}; charset=utf-8", {}, body.encode())
        deeds = [deed_of(event, "default") for event in found]
        assert [type(deed).__name__ for deed in deeds] == ["CallStart", "HeardOn", "CallEnd"]

    @pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[[]]", b"[{}]", b"\xff", b"[" * 99_999])
    def test_no_batch(self, body):
        """What is no batch of events is 400."""
        with pytest.raises(BadEvent):
            events_of(BATCH, {"content-type": BATCH}, body)


class TestChunk:
    """Audio as an event."""

    def test_chunk_is_read(self):
        """Subject and extensions name channel and numbers, the data is the audio."""
        deed = read(CHUNK)
        assert isinstance(deed, HeardOn)
        assert deed.key == ChannelKey.of("default", "c1", "agent")
        chunk = deed.heard.chunk
        assert (chunk.seq, chunk.position, chunk.stream) == (4, 8000, "s1")
        assert (chunk.codec, chunk.rate_hz, chunk.audio) == (Codec.S16LE, 16_000, b"\1\2\3\4")
        assert deed.heard.started_at_ms == STARTED_AT_MS

    def test_number_may_be_zero(self):
        """The first chunk's numbers may be JSON numbers, and 0."""
        chunk = read({**CHUNK, "sequence": 0, "position": 0}).heard.chunk
        assert (chunk.seq, chunk.position) == (0, 0)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("subject", None),
            ("subject", "a/b"),
            ("channel", None),
            ("channel", "Boss"),
            ("sequence", None),
            ("sequence", "-1"),
            ("sequence", True),
            ("position", "x"),
            ("stream", None),
            ("stream", ""),
            ("datacontenttype", None),
            ("datacontenttype", "audio/wav"),
            ("data_base64", None),
            ("data_base64", "AQ=="),
            ("data_base64", "%%%"),
            ("time", "1900-01-01T00:00:00Z"),
        ],
    )
    def test_wrong_field(self, name, value):
        """A field that is missing or wrong is a 4xx."""
        changed = {k: v for k, v in {**CHUNK, name: value}.items() if v is not None}
        with pytest.raises(LinewatchError) as caught:
            read(changed)
        assert 400 <= caught.value.status < 500

    def test_data_must_be_audio(self):
        """JSON data is no audio."""
        changed = {**CHUNK, "data": {"a": 1}}
        del changed["data_base64"]
        with pytest.raises(BadRequest):
            read(changed)


class TestWho:
    """Whose events a token may bring."""

    @pytest.mark.parametrize("event", [
        {**CHUNK, "tenant": "beta"},
        as_json(events.call_started(START)),
        as_json(events.call_ended(END)),
    ])  # fmt: skip
    def test_foreign_tenant(self, event):
        """An event of another tenant is 403."""
        with pytest.raises(Forbidden):
            read(event, "acme")

    def test_data_may_not_lie(self):
        """An event whose data names another tenant than its extension is 403 too."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], "tenant": "beta"}
        with pytest.raises(Forbidden):
            read(event)

    @pytest.mark.parametrize(
        "kind", [events.UTTERANCE_FINAL, events.CALL_GAP, events.CALL_ALERT, "x"]
    )
    def test_other_types(self, kind):
        """Events that only Linewatch makes, and unknown ones, are 400."""
        with pytest.raises(BadEvent, match="a producer sends"):
            read({**CHUNK, "type": kind})


class TestCalls:
    """Starts and ends as events."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [("line", "a b"), ("started_at", "noon"), ("call", 7), ("agent", None), ("direction", 1)],
    )
    def test_broken_data(self, name, value):
        """Data that breaks the schema is 422."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], name: value}
        with pytest.raises(Unprocessable):
            read(event)

    @pytest.mark.parametrize(
        "started_at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
    )
    def test_impossible_start(self, started_at):
        """A start whose times could not be told is refused before anything is stored."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], "started_at": started_at}
        with pytest.raises(BadRequest):
            read(event)

    @pytest.mark.parametrize(
        ("name", "value"), [("agent", "\ud800"), ("queue", "x" * 129), ("direction", "up")]
    )
    def test_start_as_announced(self, name, value):
        """A start as an event keeps to the rules of one that is announced."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], name: value}
        with pytest.raises((BadRequest, Unprocessable), match=name):
            read(event)

    def test_bad_call_name(self):
        """A call with a name that may not be used is refused."""
        with pytest.raises((BadName, Unprocessable)):
            read({**as_json(events.call_started(START)), "data": {"tenant": "default"}})


@settings(max_examples=300, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from([*CHUNK, "data", "tenant", "x"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(), max_size=2),
    )
)
def test_any_event(changes):
    """Whatever an event holds, it is a deed or a 4xx."""
    deed, error = tried(read, {**CHUNK, **changes})
    assert deed if error is None else 400 <= error.status < 500
