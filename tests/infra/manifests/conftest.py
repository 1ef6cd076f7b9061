"""Fixtures of the manifests' tests."""

from __future__ import annotations

import shutil

import pytest

from infra.manifests.checks import ROOT
from tests.infra.manifests import rendering


@pytest.fixture(name="copied")
def _copied(tmp_path):
    """A copy of all manifests, to break."""
    for folder in ("base", "components", "overlays"):
        shutil.copytree(ROOT / "infra" / folder, tmp_path / "infra" / folder)
    (tmp_path / "eventing").mkdir()
    for file in (ROOT / "eventing").glob("*.yaml"):
        shutil.copy(file, tmp_path / "eventing")
    return tmp_path


@pytest.fixture(scope="session", name="by")
def _by():
    """The command that renders; without one the test skips, in CI it fails."""
    return rendering.command()
