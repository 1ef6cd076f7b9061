"""Progress of something long, on stderr: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from typing import Final, TextIO

_WIDTH: Final = 24
_LINE_EVERY: Final = 0.25


class Progress:
    """Tells how far *what* has come, from 0 to 1."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._told = -_LINE_EVERY

    def reached(self, fraction: float, detail: str = "") -> None:
        """Show *fraction*; *detail* says what is being done now."""
        share = min(1.0, max(0.0, fraction))
        if self._stream.isatty():
            bar = "#" * round(share * _WIDTH)
            self._write(f"\r\x1b[K{self._what} [{bar:<{_WIDTH}}] {share:4.0%} {detail}")
        elif share - self._told >= _LINE_EVERY or (share >= 1 > self._told):
            self._told = share
            self._write(f"{self._what} {share:4.0%} {detail}".rstrip() + "\n")

    def done(self) -> None:
        """Show the end."""
        self.reached(1.0)
        if self._stream.isatty():
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
