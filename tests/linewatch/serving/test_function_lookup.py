"""Where a function's parts are, by its name."""

from __future__ import annotations

import pytest

from linewatch.board.settings import Settings
from linewatch.errors import SettingsError
from linewatch.serving.function_lookup import app_of, settings_of


def test_parts_follow_the_name():
    """A function's name says what gunicorn serves and which settings it has."""
    assert app_of("board") == "linewatch.board.app:create()"
    assert settings_of("board") is Settings


def test_unknown_function_is_refused():
    """A name without a folder is refused, with the file that is missing."""
    with pytest.raises(SettingsError, match=r"functions/linewatch/whisper/settings\.py"):
        settings_of("whisper")
