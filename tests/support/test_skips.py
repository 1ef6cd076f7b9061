"""What may be skipped in CI."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.skips import surprising
from tests.support.source import ROOT

TEST = '''
"""A test that is skipped."""

import pytest


def test_nothing():
    """It is skipped."""
    pytest.skip({reason!r})
'''


@pytest.mark.parametrize(
    ("reason", "ci", "code"),
    [("no time", "true", 1), ("no time", "", 0), ("../shared is not here: x", "true", 0)],
)
def test_unlisted_skip_fails_in_ci(tmp_path, reason, ci, code):
    """In CI a skip for a reason on no list fails the run and says why; elsewhere it does not."""
    file = tmp_path / "test_skipped.py"
    file.write_text(TEST.format(reason=reason))
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    done = subprocess.run(
        [*command, "-p", "tests.conftest", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"functions:{ROOT}", "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"skipped 1: {reason}" in done.stdout


def test_list_is_of_beginnings():
    """A reason is allowed by how it begins; each other one is named once."""
    assert surprising(["kubectl is not here", "b", "a", "b"]) == ["a", "b"]
