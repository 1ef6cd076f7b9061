"""Where a function's events go, as its settings say."""

from __future__ import annotations

import logging

import pytest

from linewatch import events, payloads
from linewatch.calls import Channel, ChannelKey, Score
from linewatch.errors import SinkUnavailable
from linewatch.sending.outlet import Outlet, OutletSettings
from linewatch.settings import load
from tests.bench.sentiment_service import null_sink

KEY = ChannelKey("default", "call-1", Channel.CUSTOMER)
SCORED = events.utterance_scored(
    Score(KEY, 1_767_225_600_000, 0, 0, 100, 900, "my bill", -0.5, 0.5, ("bill",), "c", "s")
)
SINK = "http://127.0.0.1:9/scores"


def outlet(**env):
    """Return the outlet of the settings in *env*."""
    return Outlet.of(load(OutletSettings, env), "scores", "the reply")


def test_sink_takes_the_event():
    """With K_SINK the event is posted there, and the answer is an empty 204."""
    with null_sink() as sink:
        made = outlet(K_SINK=sink.url)
        made.check()
        assert made.answer(SCORED) == ("", 204, {})
    assert len(sink.taken) == 1


def test_reply_is_the_event():
    """With REPLY=true the answer is the event itself."""
    made = outlet(REPLY="true")
    made.check()
    body, status, headers = made.answer(SCORED)
    assert status == 200
    assert payloads.read(events.from_http(headers, body)) == payloads.read(SCORED)


def test_reply_wins():
    """REPLY=true leaves a K_SINK that a SinkBinding set unused: no event goes two ways."""
    with null_sink() as sink:
        assert outlet(REPLY="true", K_SINK=sink.url).answer(SCORED)[1] == 200
    assert sink.taken == []


@pytest.mark.parametrize("env", [{}, {"K_SINK": ""}, {"REPLY": "false"}])
def test_nowhere_takes_nothing(env):
    """With neither, the refusal says what to set, and no event gets through as a reply."""
    made = outlet(**env)
    for attempt in (made.check, lambda: made.answer(SCORED)):
        with pytest.raises(SinkUnavailable, match=r"SinkBinding.*K_SINK.*REPLY=true"):
            attempt()


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"K_SINK": SINK}, f"scores go to K_SINK {SINK}"),
        ({"K_SINK": "http://u:p@h/x?t=p"}, "scores go to K_SINK http://h/x"),
        (
            {"K_SINK": "http://u:p@h/x", "REPLY": "true"},
            "scores go to the reply: REPLY is set, K_SINK http://h/x is not used",
        ),
        ({"REPLY": "yes"}, "scores go to the reply: REPLY is set"),
        (
            {"REPLY": "yes", "K_SINK": SINK},
            f"scores go to the reply: REPLY is set, K_SINK {SINK} is not used",
        ),
        ({}, "scores go nowhere, no event is taken: bind this function to its sink"),
    ],
)
def test_start_says_where(caplog, env, line):
    """One line of the log says where events go, and why."""
    with caplog.at_level(logging.INFO):
        outlet(**env)
    (message,) = caplog.messages
    assert message.startswith(line)
