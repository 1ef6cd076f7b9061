"""Named points of a decoder's road, where a test may stop the whole process.

The harness arms a point by making the file *folder*/*point*; the first thread that comes
by takes the file, writes whose step it has and stops its process with SIGSTOP, as a
hypervisor or a long collection would. What a fence turned away is counted beside.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

POINTS = ("before-commit", "committed", "decoded", "before-reply", "relay")


class Points:
    """The decoder's side: it passes the points."""

    def __init__(self, folder):
        self._folder = Path(folder)

    def reach(self, point, whose=""):
        """Stop here if the harness asked for it."""
        armed = self._folder / point
        if not armed.exists():
            return
        try:
            armed.rename(self._folder / f"{point}.taken")
        except FileNotFoundError:
            return
        (self._folder / "whose").write_text(whose)
        (self._folder / "whose").rename(self._folder / "stopped")
        os.kill(os.getpid(), signal.SIGSTOP)

    def rejected(self, what):
        """Count a write that was turned away."""
        with (self._folder / "rejected").open("a") as told:
            told.write(f"{what}\n")


class Trap:
    """The harness' side: it arms a point of one decoder and waits for it to stop there."""

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point):
        """Let the next step that reaches *point* stop the process."""
        (self._folder / point).touch()

    def disarm(self, point):
        """Take the trap away; tell whether it had not sprung."""
        try:
            (self._folder / point).unlink()
        except FileNotFoundError:
            return False
        return True

    def sprung(self):
        """Return whose step stopped the process, once; none while it runs."""
        try:
            whose = (self._folder / "stopped").read_text()
        except FileNotFoundError:
            return None
        (self._folder / "stopped").unlink()
        return whose

    def rejected(self):
        """Return the writes turned away so far."""
        told = self._folder / "rejected"
        return told.read_text().split() if told.exists() else []
