"""What the launcher keeps from one run to the next."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from infra.launcher import state
from linewatch.errors import SettingsError


def test_folder_is_private(tmp_path):
    """Calls are private: only the owner may read the folder."""
    folder = state.open_folder(tmp_path / "new" / "state")
    for kept in (folder, folder / "redis"):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert state.open_folder(folder) == folder


def test_impossible_folder_stops_start(tmp_path):
    """A folder that cannot be made stops the start and names the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"STATE_DIR=.*: Not a directory"):
        state.open_folder(tmp_path / "file" / "state")


def test_one_run_at_a_time(tmp_path):
    """A second run in the same folder stops and says what to do; after the first it goes."""
    held = state.lock(tmp_path)
    with pytest.raises(SettingsError, match="another launcher is running here"):
        state.lock(tmp_path, patience_s=0.05)
    os.close(held)
    os.close(state.lock(tmp_path, patience_s=0))


def test_heir_keeps_lock(tmp_path):
    """A process that was given the lock's descriptor holds it when the launcher is gone."""
    held = state.lock(tmp_path)
    heir = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(held,)
    )
    os.close(held)
    with pytest.raises(SettingsError):
        state.lock(tmp_path, patience_s=0)
    heir.communicate(b"\n")
    os.close(state.lock(tmp_path, patience_s=1))


def test_cookie_key_lasts(tmp_path):
    """The key is random, long, made once, and readable by its owner only."""
    key = state.cookie_key(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    assert len(bytes.fromhex(key)) == 32
    assert key == state.cookie_key(tmp_path) != state.cookie_key(other)
    assert stat.S_IMODE((tmp_path / "cookie_key").stat().st_mode) == 0o600
