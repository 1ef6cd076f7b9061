"""Where a function's parts are, by its name: what it serves, and its settings."""

from __future__ import annotations

from importlib import import_module

from linewatch.errors import SettingsError


def app_of(name: str) -> str:
    """Return what gunicorn serves as function *name*."""
    return f"linewatch.{name}.app:create()"


def settings_of(name: str) -> type:
    """Return the class of the settings of function *name*.

    Raises:
        SettingsError: there is no such function; says where it has to be.
    """
    module = f"linewatch.{name}.settings"
    try:
        found: type = import_module(module).Settings
    except (ModuleNotFoundError, AttributeError):
        raise SettingsError(
            f"there is no function {name!r}: functions/linewatch/{name}/settings.py must have "
            "a class Settings"
        ) from None
    return found
