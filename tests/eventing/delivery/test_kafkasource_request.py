"""Holds what is sent and what is kept to the rules observed on the real KafkaSource."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.delivery.kafkasource_request import Event, Failure, dead_letter, event_of, original
from linewatch import events
from linewatch.eventlog.record import Entry
from linewatch.events import Record
from tests.eventing.subscriber import record, source


def _entry(fields, offset=1_700_000_000_123_000_004, partition=7):
    raw = {(k.encode() if isinstance(k, str) else k): v for k, v in fields.items()}
    return Entry(partition, offset, raw, offset // 1_000_000)


def _sent(fields):
    event, _ = event_of(source(), _entry(fields))
    return event.headers("default"), event.body


def test_body_stays_byte_identical():
    """A binary record's body is sent as it lies in the log, spaces and all."""
    fields = {**record().fields(), "value": b'{ "a" :1.10}'}
    assert _sent(fields)[1] == b'{ "a" :1.10}'


def test_event_survives_delivery():
    """What the function reads is the event that was published, with two extensions more."""
    made = record()
    headers, body = _sent(made.fields())
    read = events.from_http(headers, body)
    assert read.get_extension("knativekafkapartition") == "7"
    assert read.get_extension("knativekafkaoffset") == "1700000000123000004"
    assert events.to_record(read).value == made.value
    assert {n: v for n, v in events.to_record(read).headers.items() if "knative" not in n} == dict(
        made.headers
    )


def test_request_names_namespace():
    """Every POST says Prefer: reply and the source's namespace, as Knative's does."""
    headers, _ = _sent(record().fields())
    assert (headers["Prefer"], headers["Kn-Namespace"]) == ("reply", "default")


def test_own_knative_extensions_overwritten():
    """A producer's own offset is replaced by the true one."""
    fields = {**record().fields(), "ce_knativekafkaoffset": b"1"}
    assert _sent(fields)[0]["ce-knativekafkaoffset"] == "1700000000123000004"


def test_header_values_percent_encoded():
    """An attribute that is not ASCII arrives as it was, by percent-encoding."""
    fields = {**record().fields(), "ce_subject": "Zoë 100%".encode()}
    headers, body = _sent(fields)
    assert headers["ce-subject"] == "Zo%C3%AB%20100%25"
    assert events.from_http(headers, body).get_subject() == "Zoë 100%"


def test_structured_record_sent_binary():
    """A structured record is sent in binary mode, its data as JSON written anew."""
    value = b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":{"a": 1.10}}'
    fields = {"key": b"", "content-type": b"application/cloudevents+json", "value": value}
    headers, body = _sent(fields)
    assert (headers["ce-id"], headers["ce-type"]) == ("1", "t")
    assert body == b'{"a": 1.1}'


def test_plain_record_is_wrapped():
    """A record that is no CloudEvent becomes a dev.knative.kafka.event of Knative's form."""
    fields = {"topic": b"utterances", "key": b"k", "X-Id!": b"9", "value": b"raw"}
    event, key = event_of(source(), _entry(fields))
    assert (event.body, event.content_type, key) == (b"raw", "", "k")
    assert event.attributes == {
        "specversion": "1.0",
        "type": "dev.knative.kafka.event",
        "source": "/apis/v1/namespaces/default/kafkasources/sentiment#utterances",
        "id": "partition:7/offset:1700000000123000004",
        "subject": "partition:7#1700000000123000004",
        "time": "2023-11-14T22:13:20.123000Z",
        "partitionkey": "k",
        "key": "k",
        "kafkaheaderxid": b"9".decode(),
        "knativekafkaoffset": "1700000000123000004",
        "knativekafkapartition": "7",
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"ce_id": b""},
        {"ce_specversion": b"0.2"},
        {"ce_Bad-Name": b"x"},
        {"ce_subject": b"\xff"},
        {"ce_specversion": b"", "content-type": b"application/cloudevents+json", "value": b"{"},
    ],
)
def test_incomplete_event_is_wrapped(broken):
    """Broken CloudEvent headers make a record plain instead of stopping the source."""
    headers, _ = _sent({**record().fields(), **broken})
    assert headers["ce-type"] == "dev.knative.kafka.event"


_NAMES = st.sampled_from(sorted(record().fields())) | st.binary(max_size=20)
_TEXTS = st.binary(max_size=30) | st.sampled_from([b"application/cloudevents+json", b"{}"])


@given(st.dictionaries(_NAMES, _TEXTS, max_size=8))
def test_any_entry_makes_request(fields):
    """Whatever lies in the log becomes a request whose headers HTTP can carry."""
    event, _ = event_of(source(), _entry({**record().fields(), **fields}))
    for text in event.headers("default").values():
        assert text.isprintable()
        text.encode("latin-1")
    dead_letter(source(), event, "", Failure("http://x/", 400, b"x", {"kne-reason": "y"})).fields()


def test_newline_never_splits_headers():
    """A content type with a line break is left out rather than sent."""
    fields = {**record().fields(), "content-type": b"a/b\r\nX-Evil: 1"}
    assert "content-type" not in _sent(fields)[0]


def test_dead_letter_tells_reason():
    """A dead letter carries destination, status, body and kne- headers of the answer."""
    event, key = event_of(source(), _entry(record().fields()))
    failure = Failure("http://f/", 422, b"b" * 2000, {"kne-reason": "bad", "Kne-Hint": "h"})
    letter = dead_letter(source(), event, key, failure)
    assert letter.topic == "dead-sentiment"
    assert letter.key == "call-1"
    assert letter.value == record().value
    assert letter.headers["ce_knativeerrordest"] == b"http://f/"
    assert letter.headers["ce_knativeerrorcode"] == b"422"
    assert base64.b64decode(letter.headers["ce_knativeerrordata"]) == b"b" * 1024
    assert letter.headers["ce_reason"] == b"bad"
    assert letter.headers["ce_hint"] == b"h"


def test_timeout_leaves_destination_only():
    """A dead letter after no answer at all has no code and no data."""
    assert Failure("http://f/").extensions() == {"knativeerrordest": "http://f/"}
    assert "knativeerrordata" not in Failure("http://f/", 500).extensions()


def test_dangerous_kne_headers_ignored():
    """Answers cannot overwrite the event's id, nor add names no extension may have."""
    headers = {"kne-id": "x", "kne-bad-name": "y", "kne-knativeerrorcode": "9"}
    extensions = Failure("http://f/", 400, b"", headers).extensions()
    assert extensions == {"knativeerrordest": "http://f/", "knativeerrorcode": "400"}


def test_original_comes_back():
    """The original of a dead letter is the published record, byte for byte."""
    made = record()
    event, key = event_of(source(), _entry(made.fields()))
    failure = Failure("http://f/", 422, b"why", {"kne-reason": "bad"})
    letter = dead_letter(source(), event, key, failure)
    assert original(source(), _entry(letter.fields())) == made


def test_record_keeps_content_type():
    """An event written as a record has its content type where Kafka's binding wants it."""
    made = Event({"id": "1"}, "text/plain", b"x").record("t", "k")
    assert made == Record("t", "k", {"ce_id": b"1", "content-type": b"text/plain"}, b"x")
    assert "content-type" not in Event({"id": "1"}, "", b"").record("t", "k").headers
