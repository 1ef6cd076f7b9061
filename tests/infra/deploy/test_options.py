"""The command line."""

from __future__ import annotations

import pytest

from infra.deploy import options
from infra.deploy.overlay import Changes


def test_defaults_are_told():
    """An overlay alone is deployed as it is, within ten minutes."""
    told = options.read(["dev"])
    assert told == options.Options("dev", Changes(), False, False, False, 600)


@pytest.mark.parametrize(("told", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600)])
def test_times_have_units(told, seconds):
    """A time is seconds, or has a unit."""
    assert options.read(["dev", "--timeout", told]).timeout_s == seconds


@pytest.mark.parametrize(
    "arguments", [[], ["dev", "--timeout", "soon"], ["dev", "--dry-run", "--delete"]]
)
def test_wrong_line_ends(arguments, capsys):
    """No overlay, no time, or two things at once end it with status 2."""
    with pytest.raises(SystemExit) as ended:
        options.read(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
