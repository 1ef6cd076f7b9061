"""What the sentiment function is told."""

from __future__ import annotations

import pytest

from linewatch.errors import SettingsError
from linewatch.sentiment.settings import Settings
from linewatch.settings import load


def test_defaults_are_local():
    """Without settings there is no sink, and it scores under its own name."""
    settings = load(Settings, {})
    assert (settings.sink, settings.consumer) == ("", "sentiment")


@pytest.mark.parametrize("wrong", ["night shift", ""])
def test_consumer_has_a_name(wrong):
    """A consumer whose name no event's id can hold stops the start, with what to use."""
    with pytest.raises(SettingsError, match=r"CONSUMER: use 1 to 128 letters, digits"):
        load(Settings, {"CONSUMER": wrong})
