"""CloudEvents as other SDKs write them: null for what is not set, JSON as bytes. No I/O."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from linewatch import moments
from linewatch.errors import BadEvent, in_batch

_HEX: Final = re.compile(r"(?:[0-9a-f]{2}){8,}|(?:[0-9A-F]{2}){8,}")
#: What the SDK and the standard library raise at what they cannot read.
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


class Format(JSONFormat):
    """Reads data that is no JSON as the bytes it is: audio may look like text."""

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:  # noqa: ANN401 - JSON
        """Read the body of a binary event."""
        if not body:
            return None
        if is_json(datacontenttype):
            try:
                return json.loads(body)
            except ValueError:
                return body
        return body


def is_json(content_type: object) -> bool:
    """Tell whether *content_type* is JSON's, or left out."""
    kind = str(content_type or "").split(";", maxsplit=1)[0].strip().lower()
    return kind in {"", "application/json", "text/json"} or kind.endswith("+json")


def read(make: Callable[[], object]) -> CloudEvent:
    """Return the event that *make* reads.

    Raises:
        BadEvent: it is no CloudEvent of version 1.0, or its JSON cannot be read.
    """
    try:
        event = make()
    except CloudEventValidationError as error:
        raise BadEvent(f"the CloudEvent is not valid: {_messages(error)}") from error
    except _UNREADABLE as error:
        raise BadEvent(f"the CloudEvent cannot be read: {type(error).__name__}") from error
    if not isinstance(event, CloudEvent):
        raise BadEvent("specversion must be 1.0")
    return event


def structured(found: Any) -> CloudEvent:  # noqa: ANN401 - JSON
    """Make an event of its JSON object, in which null means unset."""
    attributes = {name: value for name, value in found.items() if value is not None}
    return as_sent(attributes, _data(attributes), attributes.pop("time", None))


def as_sent(attributes: dict[str, Any], data: Any, time: object) -> CloudEvent:  # noqa: ANN401 - JSON
    """Make an event of what was sent only: the SDK would fill in an id and the present."""
    if not attributes.get("id"):
        raise BadEvent(
            "the CloudEvent has no id: set one, and use it again when you repeat the event"
        )
    # JSON can hold half of a surrogate pair, which no header and no text can.
    told = (*attributes.values(), data if isinstance(data, str) else "")
    "".join(map(str, told)).encode()
    if time is not None:
        return CloudEvent({**attributes, "time": _moment(time)}, data)
    event = CloudEvent(attributes, data)
    del attributes["time"]
    return event


def _moment(time: object) -> object:
    try:
        return moments.parse(unquote(time) if isinstance(time, str) else time)
    except ValueError as error:
        raise BadEvent("time must be RFC 3339, as in 2026-01-31T12:00:00Z") from error


def _data(attributes: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    data, text = attributes.pop("data", None), attributes.pop("data_base64", None)
    if text is None:
        return data
    if data is not None:
        raise BadEvent("send data or data_base64, not both")
    content_type = attributes.get("datacontenttype")
    raw = _decoded(text)
    if not is_json(content_type):
        return raw
    try:
        return json.loads(raw)
    except ValueError as error:
        if content_type:
            raise BadEvent(f"data_base64 holds no JSON, though it is {content_type}") from error
        return raw


def _is_hex(text: str) -> bool:
    # Digital silence is A in base64, 0 in hexadecimal.
    return bool(_HEX.fullmatch(text)) and 2 * text.count("A") <= len(text)


def _decoded(text: object) -> bytes:
    if isinstance(text, str) and _is_hex(text):
        raise BadEvent("data_base64 looks like hexadecimal: send standard base64")
    try:
        # Python itself would take padding where none is due.
        packed = text if isinstance(text, str) and not len(text) % 4 else "%"
        return binascii.a2b_base64(packed, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadEvent(
            "data_base64 must be standard base64 (RFC 4648, 4): the letters A-Z a-z 0-9 + /, "
            "padded with =, without prefix, spaces or line breaks"
        ) from error


def _messages(error: CloudEventValidationError) -> str:
    return "; ".join(sorted(str(each) for many in error.errors.values() for each in many))


def batch(body: bytes) -> list[CloudEvent]:
    """Read ``application/cloudevents-batch+json``.

    Raises:
        BadEvent: the body is no JSON array of CloudEvents; it names the first that is none.
    """
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvent("the batch is not valid JSON: send a JSON array of CloudEvents") from error
    if not isinstance(items, list):
        raise BadEvent("a batch must be a JSON array of CloudEvents")
    return [_of_batch(index, item) for index, item in enumerate(items)]


def _of_batch(index: int, item: object) -> CloudEvent:
    with in_batch(index):
        return read(lambda: structured(item))
