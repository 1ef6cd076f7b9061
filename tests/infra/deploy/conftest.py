"""The cluster that the tests of the deployment share."""

from __future__ import annotations

import pytest

from tests.infra.deploy.played import Played


@pytest.fixture(name="played")
def _played(tmp_path, monkeypatch, capsys):
    """A cluster on which everything that is applied gets Ready at once."""
    return Played(tmp_path, monkeypatch, capsys)
