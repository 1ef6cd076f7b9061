"""Holds the readers to being the exact other half of the tellers."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from linewatch import events, payloads
from linewatch.errors import BadEvent, Unprocessable
from tests.support import values

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def _event(kind, data, **attributes):
    told = {
        "specversion": "1.0",
        "type": kind,
        "source": "/x",
        "id": "1",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        **attributes,
    }
    return CloudEvent(told, data)


@given(values.VALUES)
def test_reader_undoes_teller(value):
    """Every value is read back from its event as it was."""
    assert payloads.read(values.told(value)) == value


@given(values.VALUES)
def test_value_survives_the_wire(value):
    """Every value survives HTTP, the outbox and the log."""
    headers, body = events.to_http(values.told(value))
    assert payloads.read(events.from_http(headers, body)) == value


@given(st.sampled_from(sorted(payloads._READERS)), _JSON)
def test_any_data_is_judged(kind, data):
    """Any JSON under a known type is refused as unprocessable, never with another error."""
    with pytest.raises(Unprocessable) as caught:
        payloads.read(_event(kind, data))
    assert caught.value.status == 422


@given(values.VALUES, st.data())
def test_any_field_is_judged(value, data):
    """Any JSON in one field is read or refused as unprocessable, never another error."""
    event = values.told(value)
    changed = dict(event.get_data())
    changed[data.draw(st.sampled_from(sorted(changed)))] = data.draw(_JSON)
    with suppress(Unprocessable):
        assert type(payloads.read(_event(event.get_type(), changed))) is type(value)


@pytest.mark.parametrize("kind", ["linewatch.audio.chunk.v1", "other", "linewatch.call.started.v2"])
def test_unknown_type_is_refused(kind):
    """A type that is not read here is a BadEvent that names those that are."""
    with pytest.raises(BadEvent, match=r"linewatch\.utterance\.final\.v1"):
        payloads.read(_event(kind, {}))


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("first_sample", -1, "must be 0 or more"),
        ("first_sample", 2**53, "below 9007199254740992"),
        ("end_ms", payloads.CALL_LIMIT_MS, "below 604800000"),
        ("start_ms", 1, "must not lie after end_ms"),
        ("text", "\ud800", "valid Unicode"),
        ("first_sample", True, "wrong type"),
        ("first_sample", 1.0, "wrong type"),
        ("text", None, "wrong type"),
        ("words", {}, "wrong type"),
        ("words", ["hello"], "must be a JSON object"),
        ("channel", "Both", "use agent, customer, mixed"),
        ("call", "a\nb", "may not be used"),
        ("tenant", "", "may not be used"),
    ],
)
def test_refusal_names_field(field, wrong, told):
    """What breaks the schema is refused, and the reason names what is wrong."""
    event = values.told(
        payloads.Utterance(payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, 0, "")
    )
    with pytest.raises(Unprocessable, match=told):
        payloads.read(_event(event.get_type(), {**event.get_data(), field: wrong}))


@pytest.mark.parametrize("wrong", [-1.01, 1.01, float("nan"), float("inf"), "0.5"])
def test_polarity_is_bounded(wrong):
    """A polarity outside -1 to 1, or no number at all, is refused."""
    score = payloads.Score(
        payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, 0, "", 0.0, 0.0, (), "c", ""
    )
    event = events.utterance_scored(score)
    with pytest.raises(Unprocessable, match="polarity"):
        payloads.read(_event(event.get_type(), {**event.get_data(), "polarity": wrong}))


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("consumer", "", "consumer '' may not be used: use 1 to 128 letters"),
        ("consumer", "night shift", "may not be used"),
        ("scorer_version", "3", "scorer_version is missing or of the wrong type"),
        ("scorer_version", -1, "must be 0 or more"),
        ("scorer_version", 1.5, "wrong type"),
    ],
)
def test_scorer_has_name_and_number(field, wrong, told):
    """A score says who scored by a name that ids can hold, and by which version as a number."""
    score = payloads.Score(
        payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, 0, "", 0.0, 0.0, (), "c", ""
    )
    event = events.utterance_scored(score)
    with pytest.raises(Unprocessable, match=told):
        payloads.read(_event(event.get_type(), {**event.get_data(), field: wrong}))


def test_zero_has_one_spelling():
    """A polarity of -0.0 is read as 0.0: two tellings of one number are one."""
    score = payloads.Score(
        payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, 0, "", -0.0, 0.0, (), "c", ""
    )
    assert repr(payloads.read(events.utterance_scored(score)).polarity) == "0.0"


@pytest.mark.parametrize(
    "time", [datetime(1969, 12, 31, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)]
)
def test_call_lies_in_our_times(time):
    """A call that began before 1970 or after 2200 is refused: its times would overflow."""
    missing = payloads.Missing(payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, "lost")
    event = values.told(missing)
    with pytest.raises(Unprocessable, match="between the years 1970 and 2200"):
        payloads.read(_event(event.get_type(), event.get_data(), time=time))


def test_digest_is_short():
    """A model digest longer than any of ours is refused."""
    event = values.told(
        payloads.Utterance(payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, 0, "")
    )
    with pytest.raises(Unprocessable, match="modeldigest is longer"):
        payloads.read(_event(event.get_type(), event.get_data(), modeldigest="x" * 257))


def test_time_is_needed():
    """An event whose call's start cannot be derived is refused."""
    event = values.told(
        payloads.Missing(payloads.ChannelKey.of("t", "c", "agent"), 0, 0, 0, 0, "lost")
    )
    attributes = {name: text for name, text in event.get_attributes().items() if name != "time"}
    timeless = CloudEvent(dict(attributes), event.get_data())
    del timeless._attributes["time"]
    with pytest.raises(Unprocessable, match="has no time"):
        payloads.read(timeless)
