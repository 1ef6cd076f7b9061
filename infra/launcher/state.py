"""What the launcher keeps from one run to the next, and that only one run has it at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Final

from linewatch.errors import SettingsError

_PATIENCE_S: Final = 8.0


def open_folder(folder: Path) -> Path:
    """Make *folder* if need be, readable by its owner only: calls are private.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "redis").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"STATE_DIR={folder}: {error.strerror}; choose another") from None
    return folder


def lock(folder: Path, patience_s: float = _PATIENCE_S) -> int:
    """Take *folder* for this run and return the descriptor that holds it.

    Redis gets the descriptor too: should the launcher be killed, the folder is
    free only when the Redis that writes there has ended as well.

    Raises:
        SettingsError: another run has it.
    """
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                os.close(held)
                raise SettingsError(
                    f"another launcher is running here: stop it, or set STATE_DIR to another "
                    f"folder than {folder}"
                ) from None
            time.sleep(0.1)
        else:
            return held


def cookie_key(folder: Path) -> str:
    """Return the key that signs this project's cookies, made at the first start."""
    path = folder / "cookie_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        key = secrets.token_hex(32)
        beside = path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(key + "\n")
        beside.replace(path)
        return key
