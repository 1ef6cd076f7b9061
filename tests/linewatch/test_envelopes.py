"""CloudEvents as other SDKs write them."""

from __future__ import annotations

import base64
import json

import pytest

from linewatch import envelopes, events
from linewatch.errors import BadEvent

_EVENT = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t"}
_STRUCTURED = {"content-type": "application/cloudevents+json"}


def _read(**changes):
    return events.from_http(_STRUCTURED, json.dumps({**_EVENT, **changes}).encode())


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (None, True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/vnd.x+json", True),
        ("audio/PCMU", False),
        ("text/plain", False),
    ],
)
def test_json_is_known(kind, found):
    """JSON is what its content type says, in any case, and what has no content type."""
    assert envelopes.is_json(kind) == found


def test_null_is_unset():
    """An attribute that is null is not there, an extension's too."""
    event = _read(time=None, subject=None, dataschema=None, traceparent=None, data=None)
    assert event.get_attributes() == _EVENT
    assert event.get_data() is None


def test_bytes_may_be_json():
    """JSON as bytes is read, and other bytes are left as they are."""
    packed = base64.b64encode(b'{"a": 1}').decode()
    assert _read(data_base64=packed).get_data() == {"a": 1}
    assert _read(data_base64=packed, datacontenttype="audio/PCMU").get_data() == b'{"a": 1}'
    assert _read(data_base64="//79").get_data() == b"\xff\xfe\xfd"


@pytest.mark.parametrize(
    "text",
    ["-_-_", "AAA", "AA AA", "AAAA\n", "data:;base64,AAAA", "AAAA=", "\u00e4AAA", "c0ffee00" * 4],
)
def test_other_base64_is_refused(text):
    """Other alphabets, prefixes, line breaks and hexadecimal are no standard base64."""
    with pytest.raises(BadEvent, match="standard base64"):
        _read(data_base64=text, datacontenttype="audio/PCMU")


@pytest.mark.parametrize("audio", [bytes(320), b"\xff" * 160, b"\xd5" * 160, bytes(315) + b"\1"])
def test_silence_is_no_hexadecimal(audio):
    """The silence of every codec, and what is nearly silent, is taken for what it is."""
    packed = base64.b64encode(audio).decode()
    assert _read(data_base64=packed, datacontenttype="audio/PCMU").get_data() == audio


@pytest.mark.parametrize("time", ["2026-01-31t12:00:00z", "2026-01-31 12:00:00.000000000-00:00"])
def test_time_has_many_forms(time):
    """The attribute time is read in every form of RFC 3339, wherever it stands."""
    headers = {f"ce-{name}": text for name, text in _EVENT.items()}
    record = events.to_record(_read(time=time), "calls")
    read = (_read(time=time), events.from_http({**headers, "ce-time": time}, b""))
    for event in (*read, events.from_record(record)):
        assert events.at_ms(event.get_time()) == 1_769_860_800_000


def test_text_like_audio_stays_bytes():
    """What is no JSON in a binary event is bytes, even if it is UTF-8."""
    headers = {f"ce-{name}": text for name, text in _EVENT.items()}
    event = events.from_http({**headers, "content-type": "audio/PCMU"}, b"abcd")
    assert event.get_data() == b"abcd"
