"""One warm scorer for all tests: loading it takes most of a second."""

from __future__ import annotations

import pytest

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.sentiment import warmup


@pytest.fixture(scope="session", name="scorer")
def _scorer():
    """The real scorer."""
    return warmup.load()


@pytest.fixture(name="said")
def _said():
    """Makes the utterance in which *channel* says *text*."""

    def make(text, channel=Channel.CUSTOMER):
        key = ChannelKey("acme", "call-7", channel)
        return Utterance(key, 1_700_000_000_000, 3, 48_000, 6_000, 9_000, text, (), "digest-1")

    return make


@pytest.fixture(name="polarity")
def _polarity(scorer, said):
    """Scores a text of *channel* and returns its polarity."""

    def of(text, channel=Channel.CUSTOMER):
        return scorer.score(said(text, channel), "sentiment").polarity

    return of
