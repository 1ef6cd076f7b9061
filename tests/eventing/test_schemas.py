"""Holds the JSON Schemas to what is written and to what is read, both ways."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import jsonschema
import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from eventing import topology
from linewatch import events, payloads
from linewatch.decoder.http.arrival import Arrival
from linewatch.decoder.http.producer_events import deed_of
from linewatch.errors import LinewatchError, Unprocessable
from linewatch.events import AUDIO_CHUNK, TOPICS
from tests.support import values

_FOLDER = topology.FOLDER / "schemas"
_SCHEMAS = {file.stem: json.loads(file.read_text()) for file in _FOLDER.glob("*.json")}
_VALIDATORS = {kind: jsonschema.Draft202012Validator(schema) for kind, schema in _SCHEMAS.items()}
#: What earlier events of a type lack, and what its lack means.
_ADDED = {"linewatch.call.ended.v1": {"generation"}}
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, -1),
    st.just(2**53),
    st.just(1.5),
    st.just("?"),
    st.just([]),
    st.just([None]),
    st.just([{}]),
    st.just({}),
)


def _event(kind, data):
    attributes = {
        "specversion": "1.0",
        "type": kind,
        "source": "/x",
        "id": "1",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return CloudEvent(attributes, data)


def test_every_type_has_schema():
    """There is one schema a type, named after it, and each is a valid Draft 2020-12 schema."""
    assert _SCHEMAS.keys() == {*TOPICS, AUDIO_CHUNK}
    for kind, schema in _SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"].endswith(kind)
        assert schema["additionalProperties"] is True


@given(values.VALUES)
def test_written_events_fit(value):
    """Every event fits the schema of its type."""
    event = values.told(value)
    _VALIDATORS[event.get_type()].validate(event.get_data())


@given(values.VALUES)
def test_schemas_name_every_field(value):
    """No field is written that its schema does not describe, and none is left out it demands."""
    event = values.told(value)
    schema = _SCHEMAS[event.get_type()]
    assert set(schema["required"]) <= event.get_data().keys() <= schema["properties"].keys()
    left_out = schema["properties"].keys() - set(schema["required"])
    kinds = {events.CALL_STARTED, events.CALL_UPDATED, events.CALL_ENDED}
    assert not left_out or event.get_type() in kinds


@given(values.VALUES, st.data())
def test_broken_data_is_refused(value, data):
    """A field missing, or replaced by what its schema refuses, is refused by the reader too."""
    event = values.told(value)
    broken = copy.deepcopy(event.get_data())
    name = data.draw(st.sampled_from(sorted(broken)))
    if data.draw(st.booleans()):
        del broken[name]
    else:
        broken[name] = data.draw(_ODD)
    if _VALIDATORS[event.get_type()].is_valid(broken):
        payloads.read(_event(event.get_type(), broken))
    else:
        with pytest.raises(Unprocessable):
            payloads.read(_event(event.get_type(), broken))


@given(values.UTTERANCES.filter(lambda utterance: utterance.words), st.data())
def test_broken_word_is_refused(utterance, data):
    """The same holds inside the list of words."""
    event = events.utterance_final(utterance)
    broken = copy.deepcopy(event.get_data())
    name = data.draw(st.sampled_from(["text", "start_ms", "end_ms", "confidence"]))
    broken["words"][0][name] = data.draw(_ODD)
    if _VALIDATORS[event.get_type()].is_valid(broken):
        payloads.read(_event(event.get_type(), broken))
    else:
        with pytest.raises(Unprocessable):
            payloads.read(_event(event.get_type(), broken))


@given(values.VALUES)
def test_unknown_fields_are_ignored(value):
    """A field of a later version neither breaks the schema nor the reader."""
    event = values.told(value)
    later = {**event.get_data(), "later": {"a": 1}}
    _VALIDATORS[event.get_type()].validate(later)
    moved = CloudEvent(dict(event.get_attributes()), later)
    assert payloads.read(moved) == value


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-W01-1T00:00:00Z", "20260101T000000Z"],
)
def test_only_rfc3339_times(text):
    """A time without a zone, or in another ISO 8601 form, is refused by schema and reader."""
    data = {
        "tenant": "t",
        "call": "c",
        "line": "1",
        "agent": "",
        "queue": "",
        "direction": "inbound",
        "started_at": text,
    }
    assert not _VALIDATORS[events.CALL_STARTED].is_valid(data)
    with pytest.raises(Unprocessable):
        payloads.read(_event(events.CALL_STARTED, data))


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"datacontenttype": "audio/L16;rate=16000"}, True),
        ({"datacontenttype": "audio/x-raw;format=S16LE;rate=8000"}, True),
        ({"datacontenttype": "audio/x-raw; rate=8000; format=S16BE"}, True),
        ({"datacontenttype": "audio/mpeg"}, False),
        ({"datacontenttype": "audio/L16"}, False),
        ({"datacontenttype": "audio/x-raw;rate=8000"}, False),
        ({"subject": "call 1"}, True),
        ({"subject": "call\n1"}, False),
        ({"channel": "Boss"}, False),
        ({"sequence": "-1"}, False),
        ({"position": "x"}, False),
        ({"stream": ""}, False),
        ({"time": "now"}, False),
    ],
)
def test_chunk_attributes_are_described(changed, fits):
    """A chunk's schema tells its attributes, since its data is audio; decoders read the same."""
    attributes = {
        "specversion": "1.0",
        "type": AUDIO_CHUNK,
        "source": "/line",
        "id": "7",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "audio/PCMU",
        "sequence": "7",
        "position": "14000",
        "stream": "run-1",
        "subject": "call-1",
        "channel": "agent",
    }
    changed_attributes = {**attributes, **changed}
    assert _VALIDATORS[AUDIO_CHUNK].is_valid(changed_attributes) == fits
    assert _is_taken({**changed_attributes, "data_base64": "AAAA/w=="}) == fits


def _is_taken(event):
    """Tell whether a decoder takes a chunk that comes as a whole event."""
    headers = {"content-type": "application/cloudevents+json"}
    try:
        deed_of(events.from_http(headers, json.dumps(event).encode()), "default", Arrival(0))
    except LinewatchError:
        return False
    return True
