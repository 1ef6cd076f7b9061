"""From an event back to the value it tells: the other half of `linewatch.events`.

The readers check what the JSON Schemas in ``eventing/schemas`` state, by hand:
they run for every event, and a schema library costs more than the score does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from cloudevents.core.v1.event import CloudEvent

from linewatch import events, moments
from linewatch.calls import (
    Alert,
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    Channel,
    ChannelKey,
    EndReason,
    Evidence,
    GapReason,
    Missing,
    Score,
    Severity,
    Utterance,
    Word,
    checked_channel,
)
from linewatch.errors import BadChunk, BadEvent, BadName, Unprocessable
from linewatch.names import checked_call, checked_name

Value = CallStart | CallUpdate | CallEnd | CallResumed | Missing | Utterance | Score | Alert
_Number = int | float
#: No call lasts a week, and no clock of ours is past the year 2200: beyond that times overflow.
CALL_LIMIT_MS: Final = 7 * 24 * 3600 * 1000
AT_LIMIT_MS: Final = 7_258_118_400_000
_WHOLE_LIMIT: Final = 1 << 53
_DIGEST_LIMIT: Final = 256
E = TypeVar("E")


def _unicode(text: str, at: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unprocessable(f"{at} must be valid Unicode") from None
    return text


def _in_bounds(milliseconds: int, at: str) -> int:
    if not 0 <= milliseconds < AT_LIMIT_MS:
        raise Unprocessable(f"{at}: the call must lie between the years 1970 and 2200")
    return milliseconds


def check_position(position: int, rate_hz: int) -> None:
    """Check that `read` takes what is told of *position*, in samples at *rate_hz*.

    Raises:
        BadChunk: it is a week after the call's first sample, or later.
    """
    if position * 1000 >= CALL_LIMIT_MS * rate_hz:
        raise BadChunk(f"position must be below a week of audio at {rate_hz} Hz, not {position}")


class _Data:
    """The JSON object of one event, read field by field; *at* is where it stands."""

    def __init__(self, data: object, at: str = "data") -> None:
        if not isinstance(data, dict):
            raise Unprocessable(f"{at} must be a JSON object")
        self._data = data
        self._at = at

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    def _get(self, name: str, kind: type | tuple[type, ...]) -> object:
        found = self._data.get(name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise Unprocessable(f"{self._at}.{name} is missing or of the wrong type")
        return found

    def text(self, name: str) -> str:
        return _unicode(str(self._get(name, str)), f"{self._at}.{name}")

    def whole(self, name: str, limit: int = _WHOLE_LIMIT) -> int:
        number = self._get(name, int)
        if not isinstance(number, int) or not 0 <= number < limit:
            raise Unprocessable(f"{self._at}.{name} must be 0 or more, below {limit}")
        return number

    def span_ms(self) -> tuple[int, int]:
        start_ms, end_ms = (
            self.whole("start_ms", CALL_LIMIT_MS),
            self.whole("end_ms", CALL_LIMIT_MS),
        )
        if start_ms > end_ms:
            raise Unprocessable(f"{self._at}.start_ms must not lie after end_ms")
        return start_ms, end_ms

    def number(self, name: str, low: float, high: float) -> float:
        number = self._get(name, (int, float))
        if not isinstance(number, _Number) or not low <= number <= high:
            raise Unprocessable(f"{self._at}.{name} must be from {low:g} to {high:g}")
        # -0.0 would be another text for the same number.
        return float(number) + 0.0

    def one_of(self, name: str, choices: Callable[[str], E]) -> E:
        try:
            return choices(self.text(name))
        except ValueError as error:
            raise Unprocessable(f"{self._at}.{name}: {error}") from error

    def items(self, name: str) -> list[object]:
        found = self._get(name, list)
        return found if isinstance(found, list) else []

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise Unprocessable(f"{self._at}.{name} must hold strings only")
        return tuple(_unicode(str(item), f"{self._at}.{name}") for item in found)

    def channels(self) -> tuple[Channel, ...]:
        found = () if self._data.get("channels") is None else self.texts("channels")
        return tuple(map(checked_channel, found))

    def moment_ms(self, name: str) -> int:
        text = self.text(name)
        try:
            return events.at_ms(moments.parse(text))
        except ValueError as error:
            raise Unprocessable(f"{self._at}.{name} must be an RFC 3339 time") from error

    def maybe(self, name: str) -> str:
        return "" if self._data.get(name) is None else self.text(name)

    def signed(self, name: str) -> int:
        number = 0 if self._data.get(name) is None else self._get(name, int)
        return number if isinstance(number, int) else 0

    def named(self, name: str) -> str:
        return checked_name(name, self.text(name))

    def call(self) -> str:
        return checked_call(self.text("call"))

    def key(self) -> ChannelKey:
        return ChannelKey.of(self.text("tenant"), self.text("call"), self.text("channel"))


def _started_at_ms(event: CloudEvent, end_ms: int) -> int:
    moment = event.get_time()
    if moment is None:
        raise Unprocessable("the event has no time: set the attribute time (RFC 3339)")
    return _in_bounds(events.at_ms(moment) - end_ms, "time")


def _digest(event: CloudEvent) -> str:
    digest = _unicode(str(event.get_extension("modeldigest") or ""), "modeldigest")
    if len(digest) > _DIGEST_LIMIT:
        raise Unprocessable(f"modeldigest is longer than {_DIGEST_LIMIT} characters")
    return digest


def _call_start(_: CloudEvent, data: _Data) -> CallStart:
    return CallStart(
        tenant=data.named("tenant"),
        call=data.call(),
        line=checked_call(data.text("line")),
        started_at_ms=data.moment_ms("started_at"),
        agent=data.text("agent"),
        queue=data.text("queue"),
        direction=data.text("direction"),
        clock_off_ms=data.signed("clock_off_ms"),
    )


def _call_update(event: CloudEvent, data: _Data) -> CallUpdate:
    return CallUpdate(
        tenant=data.named("tenant"),
        call=data.call(),
        at_ms=_started_at_ms(event, 0),
        line=data.maybe("line"),
        agent=data.maybe("agent"),
        queue=data.maybe("queue"),
        direction=data.maybe("direction"),
        channels=data.channels(),
    )


def _call_end(_: CloudEvent, data: _Data) -> CallEnd:
    return CallEnd(
        tenant=data.named("tenant"),
        call=data.call(),
        started_at_ms=data.moment_ms("started_at"),
        ended_at_ms=data.moment_ms("ended_at"),
        reason=data.one_of("reason", EndReason),
        chunks=data.whole("chunks"),
        utterances=data.whole("utterances"),
        gaps=data.whole("gaps"),
        generation=data.whole("generation") if "generation" in data else 0,
    )


def _call_resumed(_: CloudEvent, data: _Data) -> CallResumed:
    return CallResumed(
        tenant=data.named("tenant"),
        call=data.named("call"),
        started_at_ms=data.moment_ms("started_at"),
        resumed_at_ms=data.moment_ms("resumed_at"),
        generation=data.whole("generation"),
    )


def _missing(event: CloudEvent, data: _Data) -> Missing:
    start_ms, end_ms = data.span_ms()
    return Missing(
        key=data.key(),
        started_at_ms=_started_at_ms(event, end_ms),
        first_sample=data.whole("first_sample"),
        start_ms=start_ms,
        end_ms=end_ms,
        reason=data.one_of("reason", GapReason),
    )


def _word(item: object) -> Word:
    data = _Data(item, "data.words[]")
    return Word(
        text=data.text("text"),
        start_ms=data.whole("start_ms"),
        end_ms=data.whole("end_ms"),
        confidence=data.number("confidence", 0, 1),
    )


def _utterance(event: CloudEvent, data: _Data) -> Utterance:
    start_ms, end_ms = data.span_ms()
    return Utterance(
        key=data.key(),
        started_at_ms=_started_at_ms(event, end_ms),
        index=data.whole("index"),
        first_sample=data.whole("first_sample"),
        start_ms=start_ms,
        end_ms=end_ms,
        text=data.text("text"),
        words=tuple(_word(item) for item in data.items("words")),
        digest=_digest(event),
    )


def _score(event: CloudEvent, data: _Data) -> Score:
    start_ms, end_ms = data.span_ms()
    return Score(
        key=data.key(),
        started_at_ms=_started_at_ms(event, end_ms),
        index=data.whole("index"),
        first_sample=data.whole("first_sample"),
        start_ms=start_ms,
        end_ms=end_ms,
        text=data.text("text"),
        polarity=data.number("polarity", -1, 1),
        subjectivity=data.number("subjectivity", 0, 1),
        nouns=data.texts("nouns"),
        consumer=data.named("consumer"),
        scorer=data.text("scorer"),
        scorer_version=data.whole("scorer_version"),
        digest=_digest(event),
    )


def _evidence(item: object) -> Evidence:
    data = _Data(item, "data.evidence[]")
    return Evidence(data.one_of("channel", Channel), data.whole("first_sample"))


def _alert(event: CloudEvent, data: _Data) -> Alert:
    at_ms = data.whole("at_ms")
    return Alert(
        tenant=data.named("tenant"),
        call=data.call(),
        rule=data.named("rule"),
        severity=data.one_of("severity", Severity),
        reason=data.text("reason"),
        at_ms=at_ms,
        started_at_ms=_started_at_ms(event, at_ms),
        evidence=tuple(_evidence(item) for item in data.items("evidence")),
    )


_READERS: Final[Mapping[str, Callable[[CloudEvent, _Data], Value]]] = {
    events.CALL_STARTED: _call_start,
    events.CALL_UPDATED: _call_update,
    events.CALL_ENDED: _call_end,
    events.CALL_RESUMED: _call_resumed,
    events.CALL_GAP: _missing,
    events.UTTERANCE_FINAL: _utterance,
    events.UTTERANCE_SCORED: _score,
    events.CALL_ALERT: _alert,
}


def read(event: CloudEvent) -> Value:
    """Return the value *event* tells.

    Raises:
        BadEvent: the type is none of the contract's.
        Unprocessable: the data breaks the type's schema.
    """
    reader = _READERS.get(event.get_type())
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise BadEvent(f"type {event.get_type()[:80]!r} is unknown here: send one of {known}")
    try:
        return reader(event, _Data(event.get_data()))
    except BadName as error:
        raise Unprocessable(error.detail) from error
