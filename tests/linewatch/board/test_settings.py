"""What the board function is told."""

from __future__ import annotations

import pytest

from linewatch.board.settings import Settings
from linewatch.errors import SettingsError
from linewatch.settings import REDIS_URL, load


def test_defaults_are_local():
    """Without settings the board has no sink, the Redis of this machine, and shows any score."""
    settings = load(Settings, {})
    assert (settings.sink, settings.redis_url, settings.consumers_shown) == ("", REDIS_URL, ())


def test_consumers_are_a_list():
    """Whose scores are shown is a list of names, first choice first."""
    assert load(Settings, {"CONSUMERS_SHOWN": "a, b-2"}).consumers_shown == ("a", "b-2")
    with pytest.raises(SettingsError, match=r"CONSUMERS_SHOWN: use 1 to 128 letters, digits"):
        load(Settings, {"CONSUMERS_SHOWN": "a,b c"})
