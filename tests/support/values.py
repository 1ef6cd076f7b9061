"""Hypothesis strategies of every value that an event tells."""

from __future__ import annotations

from hypothesis import strategies as st

from linewatch import events
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
)

_MS = st.integers(0, 10**8)
_AT_MS = st.integers(0, 4 * 10**12)
_SAMPLES = st.integers(0, 2**53 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,30}", fullmatch=True)
_CHANNELS = st.sampled_from(
    (Channel.AGENT, Channel.CUSTOMER, Channel.MIXED, Channel("agent-2"), Channel("ivr"))
)
_KEYS = st.builds(ChannelKey, _NAMES, _NAMES, _CHANNELS)
# A digest is an extension, and an empty extension is none.
_DIGESTS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)


def _in_order(kind):
    """Return a maker of *kind* that swaps its edges where they are the wrong way round."""

    def make(start_ms, end_ms, **others):
        first, last = sorted((start_ms, end_ms))
        return kind(start_ms=first, end_ms=last, **others)

    return make


_SPOKEN = {
    "key": _KEYS,
    "started_at_ms": _AT_MS,
    "index": _SAMPLES,
    "first_sample": _SAMPLES,
    "start_ms": _MS,
    "end_ms": _MS,
    "text": _TEXT,
    "digest": _DIGESTS,
}

STARTS = st.builds(
    CallStart,
    *(_NAMES, _NAMES, _NAMES, _AT_MS),
    agent=_TEXT,
    queue=_TEXT,
    direction=_TEXT,
    clock_off_ms=st.just(0) | st.integers(-(10**14), 10**14),
)
UPDATES = st.builds(
    CallUpdate,
    *(_NAMES, _NAMES, _AT_MS),
    line=_TEXT,
    agent=_TEXT,
    queue=_TEXT,
    direction=st.sampled_from(("", "inbound", "outbound")),
    channels=st.lists(_CHANNELS, max_size=3, unique=True).map(tuple),
)
ENDS = st.builds(
    CallEnd,
    _NAMES,
    _NAMES,
    _AT_MS,
    _AT_MS,
    st.sampled_from(EndReason),
    _SAMPLES,
    _SAMPLES,
    _SAMPLES,
    _SAMPLES,
)
RESUMED = st.builds(CallResumed, _NAMES, _NAMES, _AT_MS, _AT_MS, st.integers(1, 9))
GAPS = st.builds(
    _in_order(Missing),
    key=_KEYS,
    started_at_ms=_AT_MS,
    first_sample=_SAMPLES,
    start_ms=_MS,
    end_ms=_MS,
    reason=st.sampled_from(GapReason),
)
WORDS = st.builds(Word, _TEXT, _MS, _MS, st.floats(0, 1))
UTTERANCES = st.builds(
    _in_order(Utterance), **_SPOKEN, words=st.lists(WORDS, max_size=3).map(tuple)
)
SCORES = st.builds(
    _in_order(Score),
    **_SPOKEN,
    polarity=st.floats(-1, 1),
    subjectivity=st.floats(0, 1),
    nouns=st.lists(_TEXT, max_size=3).map(tuple),
    consumer=_NAMES,
    scorer=_TEXT,
    scorer_version=_SAMPLES,
)
ALERTS = st.builds(
    Alert,
    tenant=_NAMES,
    call=_NAMES,
    rule=_NAMES,
    severity=st.sampled_from(Severity),
    reason=_TEXT,
    at_ms=_MS,
    started_at_ms=_AT_MS,
    evidence=st.lists(st.builds(Evidence, _CHANNELS, _SAMPLES), max_size=3).map(tuple),
)

#: How each value is told.
TELLERS = {
    CallStart: events.call_started,
    CallUpdate: events.call_updated,
    CallEnd: events.call_ended,
    CallResumed: events.call_resumed,
    Missing: events.call_gap,
    Utterance: events.utterance_final,
    Score: events.utterance_scored,
    Alert: events.call_alert,
}
VALUES = STARTS | UPDATES | ENDS | RESUMED | GAPS | UTTERANCES | SCORES | ALERTS


def told(value):
    """Return the event that tells *value*."""
    return TELLERS[type(value)](value)
