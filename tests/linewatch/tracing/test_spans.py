"""Spans: whose ids they have, and what tells them to nobody."""

from __future__ import annotations

import pytest
from cloudevents.core.v1.event import CloudEvent

from linewatch import events
from linewatch.tracing.spans import OFF, Span, child_of, ids_of, traceparent_of
from tests.support.board_facts import start

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_event_carries_its_ids():
    """Every event of ours carries a traceparent that can be read."""
    told = traceparent_of(events.call_started(start()))
    assert told == traceparent_of(events.call_started(start()))
    assert len(ids_of(told)[0]) == 32


def test_event_without_traceparent():
    """An event of somebody else may carry none, and is then nobody's parent."""
    attributes = {"specversion": "1.0", "type": "x", "source": "/x", "id": "1"}
    assert traceparent_of(CloudEvent(attributes, None)) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "none",
        GIVEN.upper(),
        f"{GIVEN}-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-01",
    ],
)
def test_wrong_traceparent_is_none(wrong):
    """What is no traceparent has no ids and no child."""
    assert ids_of(wrong) is None
    assert child_of(wrong, "board") == ""


def test_child_stays_in_trace():
    """A child has the trace of its parent and a span id of its own, always the same."""
    assert ids_of(GIVEN) == (TRACE, SPAN)
    child = child_of(GIVEN, "board")
    assert ids_of(child)[0] == TRACE
    assert ids_of(child)[1] not in {SPAN, ids_of(child_of(GIVEN, "other"))[1]}
    assert child == child_of(GIVEN, "board")


def test_off_takes_everything():
    """Where nobody listens a span may be told all the same, and no clock is read."""
    assert not OFF.is_on
    assert OFF.now_ns() == 0
    OFF.tell(Span("score", GIVEN, 0))
