"""Holds the two ends of a report to each other."""

from __future__ import annotations

import json

import pytest

from eventing.reconciliation import report
from eventing.replica import free_port
from linewatch.errors import BadEvent, Unavailable
from tests.eventing.subscriber import Subscriber

_SOURCES = ("sentiment", "board-calls")


def test_report_is_read_as_sent():
    """What one end posts the other end reads."""
    with Subscriber() as receiver:
        report.send(receiver.url, "sentiment", 7)
    (request,) = receiver.requests
    assert report.read(request.body, _SOURCES) == ("sentiment", 7)


def test_refused_report_is_told():
    """A report that is not taken is an error that says why."""
    with Subscriber() as receiver:
        receiver.answers = [503]
        with pytest.raises(Unavailable, match="did not take the report: it answered 503"):
            report.send(receiver.url, "sentiment", 7)


def test_absent_receiver_is_told():
    """So is one that nobody is there for."""
    with pytest.raises(Unavailable, match="did not take the report: NewConnectionError"):
        report.send(f"http://127.0.0.1:{free_port()}/missing", "sentiment", 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "a report is"),
        (json.dumps({"source": "sentiment"}), "a report is"),
        (json.dumps({"source": "sentiment", "missing": 1, "more": 1}), "a report is"),
        (json.dumps({"source": "x" * 99, "missing": 1}), "use sentiment, board-calls"),
        (json.dumps({"source": ["sentiment"], "missing": 1}), "there is no source"),
        (json.dumps({"source": "sentiment", "missing": -1}), "0 or more"),
        (json.dumps({"source": "sentiment", "missing": True}), "0 or more"),
        (json.dumps({"source": "sentiment", "missing": "1"}), "0 or more"),
    ],
)
def test_wrong_report_is_refused(text, why):
    """What is no report of one of the sources is refused, with the reason."""
    with pytest.raises(BadEvent, match=why):
        report.read(text.encode(), _SOURCES)
