"""What keeps a tree from being released."""

from __future__ import annotations

import pytest

from infra.release_check import faults
from linewatch import __version__
from tests.support.source import ROOT

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3]\n\n- It works.\n"


def test_good_tree_passes():
    """A version with an entry and a clean tree may be released."""
    assert list(faults("1.2.3", CHANGELOG, "")) == []


@pytest.mark.parametrize(
    ("version", "changelog", "changed", "said"),
    [
        ("1.2", CHANGELOG.replace("1.2.3", "1.2"), "", "three numbers"),
        ("1.2.4", CHANGELOG, "", r"no entry [1.2.4]"),
        ("1.2.3", CHANGELOG.replace("sed]\n", "sed]\n\n- New.\n"), "", "under [Unreleased]"),
        ("1.2.3", CHANGELOG, " M README.md\n", "commit them first"),
    ],
)
def test_fault_is_told(version, changelog, changed, said):
    """Each fault is told, with what to do about it."""
    (fault,) = faults(version, changelog, changed)
    assert said in fault


def test_own_changelog_has_the_version():
    """The changelog has an entry for the version that the code has."""
    assert list(faults(__version__, (ROOT / "CHANGELOG.md").read_text(), "")) == []
