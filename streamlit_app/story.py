"""One call as the detail panel shows it: who said what when, what was not heard, the curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from linewatch.board.rows import CallDetail, CallRow, Said, Unheard
from linewatch.calls import Channel, GapReason
from streamlit_app.view import (
    AlertView,
    RowView,
    Tone,
    ago,
    alert_view,
    channel_name,
    clock,
    counted,
    duration_ms,
    height_of,
    quiet_ms,
    row_view,
    side,
    tone,
)

SILENCE_MS: Final = 10_000
CURVE_WIDTH, CURVE_HEIGHT = 400, 64
_REASONS: Final = {
    GapReason.LOST: "lost on the way",
    GapReason.PAUSED: "paused by the sender",
    GapReason.DISCARDED: "discarded by the sender",
    GapReason.OVERRUN: "sender's buffer overran",
    GapReason.UNDECODABLE: "could not be decoded",
    GapReason.SILENT: "nothing was sent",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the transcript; *kind* is said, partial, gap or silence."""

    key: str
    kind: str
    channel: str
    who: str
    at: str
    text: str
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One speaker's polarities over the call, as the points of an SVG polyline."""

    channel: str
    points: str


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the talking one channel did, in percent."""

    channel: str
    who: str
    percent: int


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the detail panel shows of one call."""

    row: RowView
    before: tuple[str, ...]
    clock_note: str
    entries: tuple[Entry, ...]
    curves: tuple[Curve, ...]
    holes: tuple[tuple[float, float], ...]
    shares: tuple[Share, ...]
    alerts: tuple[AlertView, ...]
    longest_silence: str
    utterances: str
    gaps: str


def until(detail: CallDetail, row: CallRow, at_ms: int) -> CallDetail:
    """Return *detail* as it stood at *at_ms*, when the board showed *row*.

    A board that is paused must not show what was said later.
    """

    def known(end_ms: int) -> bool:
        return row.started_at_ms + end_ms + row.late_ms <= at_ms

    return replace(
        detail,
        row=row,
        said=tuple(each for each in detail.said if known(each.end_ms)),
        unheard=tuple(each for each in detail.unheard if known(each.end_ms)),
        alerts=tuple(each for each in detail.alerts if each.raised_at_ms <= at_ms),
        partials={},
    )


def _said(said: Said) -> Entry:
    key = f"said-{said.channel}-{said.first_sample}"
    who, at = channel_name(said.channel), clock(said.start_ms)
    return Entry(key, "said", side(said.channel), who, at, said.text, tone(said.polarity))


def _gap(gap: Unheard) -> Entry:
    words = f"{clock(gap.end_ms - gap.start_ms)} not heard: {_REASONS[gap.reason]}"
    key = f"gap-{gap.channel}-{gap.start_ms}"
    who, at = channel_name(gap.channel), clock(gap.start_ms)
    return Entry(key, "gap", side(gap.channel), who, at, words)


def _silence(start_ms: int, end_ms: int) -> Entry:
    words = f"{clock(end_ms - start_ms)} silence"
    return Entry(f"silence-{start_ms}", "silence", "", "", clock(start_ms), words)


def _partial(channel: Channel, text: str, at_ms: int) -> Entry:
    who, at = channel_name(channel), clock(at_ms)
    return Entry(f"partial-{channel}", "partial", side(channel), who, at, text)


def _heard(detail: CallDetail) -> Iterator[Entry]:
    """Yield utterances and gaps by their start, and a silence wherever nobody spoke for long."""
    heard_ms = 0
    pieces: list[Said | Unheard] = [*detail.said, *detail.unheard]
    for each in sorted(pieces, key=lambda one: one.start_ms):
        if each.start_ms - heard_ms >= SILENCE_MS:
            yield _silence(heard_ms, each.start_ms)
        yield _said(each) if isinstance(each, Said) else _gap(each)
        heard_ms = max(heard_ms, each.end_ms)


def entries(detail: CallDetail, now_ms: int) -> tuple[Entry, ...]:
    """Return the transcript, oldest first; what is being said now stands last."""
    row, length_ms = detail.row, duration_ms(detail.row, now_ms)
    transcript = list(_heard(detail))
    spoken = {channel: text for channel, text in detail.partials.items() if text}
    quiet = quiet_ms(row, now_ms)
    if quiet >= SILENCE_MS and not spoken:
        transcript.append(_silence(row.last_end_ms, row.last_end_ms + quiet))
    transcript += [_partial(channel, text, length_ms) for channel, text in sorted(spoken.items())]
    return tuple(transcript)


def _across(ms: float, length_ms: float) -> float:
    return round(min(1.0, ms / max(1.0, length_ms)) * CURVE_WIDTH, 1)


def _curve(channel: Channel, detail: CallDetail, length_ms: int) -> Curve:
    scored = [
        (each.end_ms, each.polarity)
        for each in sorted(detail.said, key=lambda one: one.end_ms)
        if each.channel == channel and each.polarity is not None
    ]
    points = " ".join(
        f"{_across(end_ms, length_ms):g},{height_of(polarity, CURVE_HEIGHT):g}"
        for end_ms, polarity in scored
    )
    return Curve(side(channel), points)


def _spoken_on(row: CallRow) -> list[Channel]:
    return sorted(channel for channel, spoken_ms in row.talk_ms.items() if spoken_ms)


def _shares(row: CallRow) -> tuple[Share, ...]:
    total = sum(row.talk_ms.values())
    return tuple(
        Share(side(channel), channel_name(channel), round(100 * row.talk_ms[channel] / total))
        for channel in _spoken_on(row)
        if total
    )


def _clock_note(off_ms: int) -> str:
    """Say that a call's start was put right, and why."""
    if not off_ms:
        return ""
    direction = "ahead" if off_ms > 0 else "behind"
    return f"sender's clock {ago(abs(off_ms))} {direction}: the start is when the call came"


def tell(detail: CallDetail, now_ms: int) -> Story:
    """Return the whole detail panel at *now_ms*."""
    row, length_ms = detail.row, duration_ms(detail.row, now_ms)
    ended = row.ended_at_ms is not None
    curves = (_curve(channel, detail, length_ms) for channel in _spoken_on(row))
    holes = (
        (_across(gap.start_ms, length_ms), _across(gap.end_ms - gap.start_ms, length_ms))
        for gap in detail.unheard
    )
    return Story(
        row=row_view(row, now_ms, row.call),
        before=row.agents_before,
        clock_note=_clock_note(row.clock_off_ms),
        entries=entries(detail, now_ms),
        curves=tuple(curve for curve in curves if curve.points),
        holes=tuple(holes),
        shares=_shares(row),
        alerts=tuple(alert_view(each, now_ms, ended, row.call) for each in detail.alerts),
        longest_silence=clock(row.longest_silence_ms),
        utterances=counted(row.utterances, "utterance"),
        gaps=counted(row.gaps, "gap"),
    )
