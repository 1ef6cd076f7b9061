"""What may be skipped in CI."""

from __future__ import annotations

import pytest

from tests.support import inner
from tests.support.skips import surprising

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
    done = inner.run(tmp_path, TEST.format(reason=reason), CI=ci)
    assert done.returncode == code, done.stdout + done.stderr
    assert f"skipped 1: {reason}" in done.stdout


def test_list_is_of_beginnings():
    """A reason is allowed by how it begins; each other one is named once."""
    assert surprising(["kubectl is not here", "b", "a", "b"]) == ["a", "b"]
