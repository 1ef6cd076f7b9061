"""Facts of made-up calls, and Hypothesis' ways to draw them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from linewatch.board.scores import Shown
from linewatch.calls import (
    CallEnd,
    CallResumed,
    CallStart,
    CallUpdate,
    Channel,
    ChannelKey,
    EndReason,
    GapReason,
    Missing,
    Score,
)

TENANT = "default"
CALL = "call-1"
STARTED_AT_MS = 1_700_000_000_000
AGENT, CUSTOMER, MIXED = Channel.AGENT, Channel.CUSTOMER, Channel.MIXED
SECOND = Channel("agent-2")
WORDS = ["hello there", "i want a refund", "get me the supervisor", "that is fine", ""]


def start(call=CALL, **changes):
    """The announcement of a call."""
    told = {"line": "line-7", "agent": "Ana", "queue": "billing"} | changes
    return CallStart(told.pop("tenant", TENANT), call, started_at_ms=STARTED_AT_MS, **told)


def update(at_ms, call=CALL, **said):
    """What was learned of a call *at_ms* after it began."""
    return CallUpdate(TENANT, call, STARTED_AT_MS + at_ms, **said)


def score(index, polarity=0.0, text="hello", *, channel=CUSTOMER, at_ms=None, call=CALL, **changes):
    """Utterance *index* of a channel; one begins every 10 s and lasts 2 s unless *at_ms* says."""
    start_ms = index * 10_000 if at_ms is None else at_ms
    told = {
        "key": ChannelKey(changes.pop("tenant", TENANT), call, channel),
        "started_at_ms": STARTED_AT_MS,
        "index": index,
        "first_sample": start_ms * 16,
        "start_ms": start_ms,
        "end_ms": start_ms + 2000,
        "text": text,
        "polarity": polarity,
        "subjectivity": 0.5,
        "nouns": ("bill",),
        "consumer": "sentiment",
        "scorer": "1",
    }
    return Score(**told | changes)


def gap(start_ms, end_ms, channel=CUSTOMER, call=CALL):
    """A stretch of a channel that was not heard."""
    key = ChannelKey(TENANT, call, channel)
    return Missing(key, STARTED_AT_MS, start_ms * 16, start_ms, end_ms, GapReason.LOST)


def end(length_ms=600_000, utterances=0, gaps=0, call=CALL, generation=0):
    """The end of a call, with what was counted."""
    counts = {"chunks": length_ms // 250, "utterances": utterances, "gaps": gaps}
    counts["generation"] = generation
    ended_at_ms = STARTED_AT_MS + length_ms
    return CallEnd(TENANT, call, STARTED_AT_MS, ended_at_ms, EndReason.HANGUP, **counts)


def resumed(generation=1, call=CALL):
    """A call that came back after it was given up."""
    return CallResumed(TENANT, call, STARTED_AT_MS, STARTED_AT_MS + 400_000, generation)


@st.composite
def _utterances(draw, channel):
    spoken, at_ms = [], 0
    for index in range(draw(st.integers(0, 7))):
        at_ms += draw(st.sampled_from([500, 4000, 35_000]))
        polarity = draw(st.sampled_from([-0.8, -0.25, 0.0, 0.3]))
        text = draw(st.sampled_from(WORDS))
        spoken.append(score(index, polarity, text, channel=channel, at_ms=at_ms))
        at_ms += 2000
    return spoken


@st.composite
def tales(draw):
    """All scores of one call by several consumers and versions, and what is to be shown of them.

    Some are told twice with other numbers, as by a scorer that changed and kept its version.
    """
    scored = [each for each in draw(calls()) if isinstance(each, Score)] or [score(0)]
    tellers = st.tuples(st.sampled_from(["sentiment", "notebook"]), st.sampled_from([1, 2, 10]))
    facts = []
    for each in scored:
        for name, version in draw(st.lists(tellers, min_size=1, max_size=3)):
            polarity = draw(st.sampled_from([-0.9, -0.6, 0.4]))
            told = {"consumer": name, "scorer_version": version, "polarity": polarity}
            facts.append(replace(each, **told))
    consumers = draw(st.sampled_from([(), ("sentiment",), ("sentiment", "notebook")]))
    repeats = draw(st.lists(st.sampled_from(facts), max_size=3))
    return facts, draw(st.permutations(facts + repeats)), Shown(consumers)


_PEOPLE = st.sampled_from(["", "Ana", "Bob", "Cleo"])
_updates = st.builds(
    update,
    st.sampled_from([-1000, 0, 5000, 60_000]),
    agent=_PEOPLE,
    queue=st.sampled_from(["", "billing", "tech"]),
    line=st.sampled_from(["", "+1 (555) 010-0000"]),
)


@st.composite
def calls(draw):
    """All facts of one call: two or three channels, gaps, updates, perhaps a start and an end."""
    said = draw(_utterances(AGENT)) + draw(_utterances(CUSTOMER))
    said += draw(_utterances(SECOND)) if draw(st.booleans()) else []
    starts = draw(st.lists(st.integers(0, 90_000), max_size=2, unique=True))
    unheard = [
        gap(at_ms, at_ms + 1500, draw(st.sampled_from([AGENT, CUSTOMER]))) for at_ms in starts
    ]
    length_ms = max([each.end_ms for each in said], default=0) + draw(st.sampled_from([0, 40_000]))
    facts = [*said, *unheard]
    if draw(st.booleans()):
        facts.append(end(length_ms, len(said), len(unheard)))
    if draw(st.booleans()):
        facts.append(resumed())
    if draw(st.booleans()):
        facts.append(end(length_ms + 5000, len(said), len(unheard), generation=1))
    facts += draw(st.lists(_updates, max_size=4))
    if draw(st.booleans()) or not facts:
        facts.append(start())
    return facts


@st.composite
def tellings(draw):
    """The same facts twice: in order, and shuffled with repeats."""
    facts = draw(calls())
    repeats = draw(st.lists(st.sampled_from(facts), max_size=4))
    return facts, draw(st.permutations(facts + repeats))
