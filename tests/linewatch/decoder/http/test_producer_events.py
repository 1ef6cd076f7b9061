"""Whole CloudEvents of a phone system."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch import events
from linewatch.calls import CallEnd, CallUpdate, ChannelKey, Codec, EndReason
from linewatch.decoder.http.arrival import Arrival
from linewatch.decoder.http.producer_events import (
    BATCH,
    Ending,
    HeardOn,
    deed_of,
    deeds_of,
    events_of,
)
from linewatch.errors import BadEvent, BadName, BadRequest, Forbidden, LinewatchError, Unprocessable
from tests.linewatch.decoder.pods import START, STARTED_AT_MS, tried

STRUCTURED = "application/cloudevents+json"
NOW_MS = STARTED_AT_MS + 60_000
NOW = Arrival(NOW_MS)
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
    return deed_of(found, tenant, NOW)


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
        assert deed_of(found, "default", NOW).start == START

    def test_structured_event(self):
        """A structured event is read."""
        assert read(as_json(events.call_started(START))).start == START
        assert read(as_json(events.call_ended(END))) == Ending("default", "c1")

    def test_batch_keeps_order(self):
        """A batch is read in its order."""
        body = json.dumps(
            [as_json(events.call_started(START)), CHUNK, as_json(events.call_ended(END))]
        )
        found = events_of(f"{BATCH}; charset=utf-8", {}, body.encode())
        deeds = deeds_of(found, "default", NOW)
        assert [type(deed).__name__ for deed in deeds] == ["Announcement", "HeardOn", "Ending"]

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
            ("subject", "a\nb"),
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
            ("data_base64", "-_-_"),
            ("data_base64", "AQID\nBAUG"),
            ("data_base64", "AQIDBA"),
            ("data_base64", "data:audio/basic;base64,AQIDBA=="),
            ("data_base64", "ff7f" * 80),
            ("data_base64", "00" * 160),
            ("data_base64", [1, 2]),
            ("data", "AQIDBA=="),
            ("time", "noon"),
            ("time", "2026-01-01T00:00:00"),
        ],
    )
    def test_wrong_field(self, name, value):
        """A field that is missing or wrong is a 4xx."""
        changed = {k: v for k, v in {**CHUNK, name: value}.items() if v is not None}
        with pytest.raises(LinewatchError) as caught:
            read(changed)
        assert 400 <= caught.value.status < 500

    @pytest.mark.parametrize("data", [{"a": 1}, "AQIDBA==", [255, 255], 7])
    def test_data_must_be_audio(self, data):
        """Text and JSON are no audio, whatever they look like."""
        changed = {**CHUNK, "data": data}
        del changed["data_base64"]
        with pytest.raises(BadRequest, match="send data_base64"):
            read(changed)

    def test_silence_is_audio(self):
        """Digital silence is letters A in base64, and no hexadecimal."""
        silence = base64.b64encode(bytes(320)).decode()
        assert read({**CHUNK, "data_base64": silence}).heard.chunk.audio == bytes(320)

    def test_null_is_unset(self):
        """An attribute that is null is one that was left out."""
        nulls = dict.fromkeys(("time", "dataschema", "traceparent", "data", "tenant", "x"))
        bare = {name: value for name, value in CHUNK.items() if name != "time"}
        assert read({**CHUNK, **nulls}) == read(bare)

    def test_binary_audio_may_look_like_text(self):
        """Audio in a binary event is its bytes, even where they are UTF-8."""
        headers = {"ce-" + name: str(value) for name, value in CHUNK.items()}
        headers |= {"content-type": headers.pop("ce-datacontenttype")}
        del headers["ce-data_base64"]
        (found,) = events_of(headers["content-type"], headers, b"abcd")
        assert deed_of(found, "default", NOW).heard.chunk.audio == b"abcd"


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
        [("line", "a\tb"), ("started_at", "noon"), ("call", []), ("agent", {}), ("direction", 1)],
    )
    def test_broken_data(self, name, value):
        """Data that breaks the schema is 422."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], name: value}
        with pytest.raises(Unprocessable):
            read(event)

    @pytest.mark.parametrize("data", [None, {}, {"call": "c1"}, {"call": "c1", "line": None}])
    def test_call_is_enough(self, data):
        """A start and an end need only the call, in the subject or in the data."""
        event = {**CHUNK, "type": events.CALL_STARTED, "data": data}
        del event["data_base64"], event["datacontenttype"]
        if data and "call" in data:
            del event["subject"]
        start = read(event).start
        assert (start.call, start.line, start.started_at_ms) == ("c1", "c1", STARTED_AT_MS)
        assert read({**event, "type": events.CALL_ENDED}) == Ending("default", "c1")

    def test_no_call_is_refused(self):
        """A start that names no call is refused."""
        event = {**CHUNK, "type": events.CALL_STARTED, "data": {"line": "7"}, "subject": None}
        with pytest.raises(Unprocessable, match="call"):
            read({**event, "data_base64": None})

    def test_end_has_a_reason(self):
        """An end may say why, and only a reason that is known."""
        event = {**CHUNK, "type": events.CALL_ENDED, "data_base64": None}
        ended = read({**event, "data": {"reason": "abandoned"}})
        assert ended == Ending("default", "c1", EndReason.ABANDONED)
        with pytest.raises(Unprocessable, match="hangup"):
            read({**event, "data": {"reason": "transfer"}})

    def test_update_is_read(self):
        """An update is of the event's time, and says what its data says."""
        event = {**CHUNK, "type": events.CALL_UPDATED, "data_base64": None}
        found = read({**event, "data": {"agent": "Bob", "queue": None}})
        assert found.update == CallUpdate("default", "c1", STARTED_AT_MS, agent="Bob")
        assert found.is_dated

    @pytest.mark.parametrize("kind", ["application/json", "application/vnd.x+json", None])
    def test_json_may_be_bytes(self, kind):
        """JSON data that comes as bytes is JSON."""
        data = base64.b64encode(b'{"call": 1001, "agent": "Ann"}').decode()
        event = {**CHUNK, "type": events.CALL_STARTED, "data_base64": data, "datacontenttype": kind}
        assert (read(event).start.call, read(event).start.agent) == ("1001", "Ann")

    def test_bytes_must_be_json(self):
        """Bytes that are said to be JSON and are none are 400."""
        kind = "application/json"
        with pytest.raises(BadEvent, match="holds no JSON"):
            read({**CHUNK, "type": events.CALL_STARTED, "datacontenttype": kind})

    def test_impossible_start_is_put_right(self):
        """A start that no call can have begun at is the moment it came, and by how much is said."""
        event = as_json(events.call_started(START))
        event["data"] = {**event["data"], "started_at": "0001-01-01T00:00:00+23:59"}
        start = read(event).start
        assert start.started_at_ms == NOW_MS
        assert start.clock_off_ms < -60_000_000_000_000

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
            read({**as_json(events.call_started(START)), "data": {"call": "a\nb"}})


class TestBatch:
    """What a batch says of the event that it refuses."""

    def test_names_what_it_refuses(self):
        """The first event that is refused is named by its place, and nothing was taken."""
        good = as_json(events.call_started(START))
        for bad in ({**CHUNK, "channel": None}, {**CHUNK, "id": None}, [1], {**CHUNK, "type": "x"}):
            with pytest.raises(LinewatchError, match="event 1 of the batch") as caught:
                deeds_of(
                    events_of(BATCH, {}, json.dumps([good, bad, bad]).encode()), "default", NOW
                )
            assert caught.value.extra == {"index": 1, "taken": 0}
            assert caught.value.detail.endswith("nothing of the batch was taken")

    def test_single_event_has_no_place(self):
        """An event that came alone is refused without a place."""
        body = json.dumps({**CHUNK, "channel": None}).encode()
        found = events_of(STRUCTURED, {"content-type": STRUCTURED}, body)
        with pytest.raises(LinewatchError, match=r"^channel") as caught:
            deeds_of(found, "default", NOW)
        assert caught.value.extra == {}


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
