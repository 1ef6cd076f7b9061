"""Holds the event contract to being deterministic, complete and readable again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import envelopes, events
from linewatch.calls import (
    Alert,
    CallEnd,
    CallStart,
    ChannelKey,
    EndReason,
    GapReason,
    Missing,
    Score,
    Severity,
    Utterance,
)
from linewatch.errors import BadEvent
from linewatch.events import PARTITIONS, TOPICS, Record
from linewatch.trace_context import trace_parent
from tests.support import values

_KEY = ChannelKey.of("acme", "call-1", "agent")
_STRUCTURED = {"content-type": "application/cloudevents+json"}
_UTTERANCE = Utterance(_KEY, 1000, 3, 16000, 1000, 2500, "hello", digest="abc")
_SAID = {"index": 3, "first_sample": 16000, "start_ms": 1000, "end_ms": 2500, "text": "hello"}


def _score():
    return Score(
        _KEY,
        1000,
        **_SAID,
        polarity=0.5,
        subjectivity=0.1,
        nouns=("bill",),
        consumer="sentiment",
        scorer="lexicon",
        scorer_version=7,
        digest="abc",
    )


@pytest.mark.parametrize(
    ("value", "kind", "source", "event_id", "time_ms"),
    [
        (CallStart("acme", "call-1", "7", 1000), "call.started", "", "started", 1000),
        (
            CallEnd("acme", "call-1", 1000, 9000, EndReason.HANGUP, 1, 2, 3),
            "call.ended",
            "",
            "ended",
            9000,
        ),
        (
            Missing(_KEY, 1000, 8000, 500, 900, GapReason.LOST),
            "call.gap",
            "/channels/agent",
            "8000-gap",
            1900,
        ),
        (_UTTERANCE, "utterance.final", "/channels/agent", "16000-final", 3500),
        (_score(), "utterance.scored", "/channels/agent", "16000-scored-sentiment-7", 3500),
        (
            Alert("acme", "call-1", "silence", Severity.WARNING, "quiet", 700, 1000),
            "call.alert",
            "",
            "silence-alert",
            1700,
        ),
    ],
)
def test_identity_comes_from_audio(value, kind, source, event_id, time_ms):
    """Source, id and time are derived from the call and its samples, never from a clock."""
    event = values.told(value)
    assert event.get_type() == f"linewatch.{kind}.v1"
    assert event.get_source() == f"/tenants/acme/calls/call-1{source}"
    assert event.get_id() == event_id
    assert events.at_ms(event.get_time()) == time_ms


def test_scorers_share_no_id():
    """Another consumer, or another version of one, scores under another id, hyphens or not."""
    tellers = [("a", 1), ("a", 2), ("a", 12), ("a-1", 2), ("a-1-2", 2), ("b", 1)]
    scores = [replace(_score(), consumer=name, scorer_version=each) for name, each in tellers]
    ids = [events.utterance_scored(score).get_id() for score in scores]
    assert len(set(ids)) == len(tellers)
    assert {each.partition("-")[0] for each in ids} == {"16000"}


@given(values.VALUES)
def test_remade_event_is_equal(value):
    """An event made again is the same bytes, headers included."""
    first, second = (events.to_record(values.told(value)) for _ in range(2))
    assert first == second
    assert first.fields() == second.fields()


@given(values.VALUES)
def test_extensions_are_complete(value):
    """Every event carries tenant, call as subject and partitionkey, and a trace of its call."""
    event = values.told(value)
    data = event.get_data()
    assert event.get_extension("tenant") == data["tenant"]
    assert event.get_subject() == event.get_extension("partitionkey") == data["call"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", event.get_extension("traceparent"))
    assert all(re.fullmatch(r"[a-z0-9]+", name) for name in event.get_attributes())


def test_trace_is_the_calls():
    """Events of one call share a trace and differ in their span; another call has its own."""
    first = trace_parent("t", "call-1", "/a", "1")
    second = trace_parent("t", "call-1", "/a", "2")
    other = trace_parent("t", "call-2", "/a", "1")
    assert first[:35] == second[:35]
    assert first[36:] != second[36:]
    assert other[:35] != first[:35]


@given(values.VALUES)
def test_http_round_trip(value):
    """An event sent over HTTP is read as it was."""
    event = values.told(value)
    read = events.from_http(*events.to_http(event))
    assert read.get_data() == event.get_data()
    assert read.get_attributes() == event.get_attributes()


@given(values.VALUES)
def test_outbox_round_trip(value):
    """A record's flat fields are read back as the same record, of the type's topic."""
    record = events.to_record(values.told(value))
    fields = {name.encode(): text for name, text in record.fields().items()}
    assert Record.of_fields(fields) == record
    assert record.topic == TOPICS[values.told(value).get_type()]
    assert record.key == values.told(value).get_subject()


def test_record_takes_other_topic():
    """A record may be written to another topic than its type's, such as a dead letter's."""
    assert events.to_record(events.utterance_final(_UTTERANCE), "dead").topic == "dead"


@given(st.text(max_size=30))
def test_partition_is_in_range(call):
    """Every call has one of the partitions, always the same."""
    assert 0 <= events.partition_of(call) < PARTITIONS
    assert events.partition_of(call) == events.partition_of(call)


def test_partitions_are_all_used():
    """Calls spread over all partitions."""
    assert {events.partition_of(f"call-{n}") for n in range(300)} == set(range(PARTITIONS))


@given(st.integers(0, 4 * 10**12))
def test_time_round_trip(milliseconds):
    """Milliseconds since 1970 become a time and back without loss."""
    assert events.at_ms(events.at(milliseconds)) == milliseconds
    assert events.at(milliseconds).tzinfo is UTC


def test_structured_event_is_read():
    """One event as JSON is read, also with a charset in its content type."""
    body = b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":{"a":1}}'
    headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    event = events.from_http(headers, body)
    assert (event.get_id(), event.get_data()) == ("1", {"a": 1})


def test_nothing_is_filled_in():
    """An event without a time keeps none, so that its repeats are equal."""
    body = b'{"specversion":"1.0","id":"1","source":"/x","type":"t"}'
    assert events.from_http(_STRUCTURED, body).get_time() is None
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}
    assert "time" not in events.from_http(headers, b"").get_attributes()


_BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        ({"content-type": "application/json"}, b"{}"),
        ({**_BINARY, "ce-specversion": "0.3"}, b""),
        ({**_BINARY, "ce-id": ""}, b""),
        ({name: text for name, text in _BINARY.items() if name != "ce-id"}, b""),
        ({name: text for name, text in _BINARY.items() if name != "ce-type"}, b""),
        ({**_BINARY, "ce-time": "yesterday"}, b""),
        ({**_BINARY, "ce-bad_name": "x"}, b""),
        (_STRUCTURED, b""),
        (_STRUCTURED, b"{"),
        (_STRUCTURED, b"[]"),
        (_STRUCTURED, b"1"),
        (_STRUCTURED, b"null"),
        (_STRUCTURED, b"\xff"),
        (_STRUCTURED, b'{"specversion":"1.0","source":"/x","type":"t"}'),
        (_STRUCTURED, b'{"specversion":"1.0","id":7,"source":"/x","type":"t"}'),
        (_STRUCTURED, b'{"specversion":"2.0","id":"1","source":"/x","type":"t"}'),
        (
            _STRUCTURED,
            b'{"specversion":"1.0","id":"1","source":"/x","type":"t","subject":"\\ud800"}',
        ),
        (
            _STRUCTURED,
            b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":"\\ud800"}',
        ),
        (
            _STRUCTURED,
            b'{"specversion":"1.0","id":"1","source":"/x","type":"t","time":"9999-W53-7"}',
        ),
        ({**_BINARY, "ce-time": "9999-12-31T24:00:00Z"}, b"{}"),
        (_STRUCTURED, b"[" * 100_000),
    ],
)
def test_no_event_is_refused(headers, body):
    """Whatever is no CloudEvent 1.0 is a BadEvent with status 400, and nothing else."""
    with pytest.raises(BadEvent) as caught:
        events.from_http(headers, body)
    assert caught.value.status == 400


@given(
    st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4), st.binary(max_size=60)
)
def test_any_request_is_judged(headers, body):
    """Any headers and body give an event or a BadEvent."""
    for kind in ({}, _STRUCTURED, _BINARY):
        try:
            events.from_http({**headers, **kind}, body)
        except BadEvent:
            continue


def test_batch_is_read():
    """A batch is a JSON array of events."""
    item = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": [1]}
    first, second = envelopes.batch(json.dumps([item, {**item, "id": "2"}]).encode())
    assert (first.get_id(), second.get_id(), second.get_data()) == ("1", "2", [1])
    assert envelopes.batch(b"[]") == []


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[null]", b'[{"id":"1"}]', b"[" * 100_000])
def test_bad_batch_is_refused(body):
    """A batch that is no array, or holds what is no event, is a BadEvent."""
    with pytest.raises(BadEvent):
        envelopes.batch(body)


def test_timestamps_end_in_z():
    """Times in data are RFC 3339 in UTC with milliseconds."""
    started = events.call_started(CallStart("t", "c", "1", 1500))
    assert started.get_data()["started_at"] == "1970-01-01T00:00:01.500Z"
    assert started.get_time() == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)


def test_every_type_has_topic():
    """Every type but the chunk is published to one of four topics."""
    assert set(TOPICS.values()) == {"calls", "utterances", "scores", "alerts"}
    assert events.AUDIO_CHUNK not in TOPICS
