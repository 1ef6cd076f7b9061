"""Run a command that ends when its parent does: ``tether.py PARENT_PID SIGNAL COMMAND...``.

The kernel sends the command the signal when the thread that started it is gone,
so not even ``kill -9`` of the launcher leaves a process behind. It is a
program of its own because code between fork and exec may deadlock in a
process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_NOT_FOUND: Final = 127


def tethered(command: Sequence[str], ends_by: int = signal.SIGTERM) -> list[str]:
    """Return the command line that runs *command* tethered to this process."""
    parent, number = str(os.getpid()), str(int(ends_by))
    return [sys.executable, "-I", "-S", str(Path(__file__)), parent, number, *command]


def main(arguments: Sequence[str]) -> int:
    """Become the command; return only where that is not possible."""
    parent, ends_by, command = int(arguments[0]), int(arguments[1]), list(arguments[2:])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ends_by)
    if os.getppid() != parent:
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606 - the launcher's own command line
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
