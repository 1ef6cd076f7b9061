"""What is done and waited for: one changing line on a terminal, elsewhere a line a change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Final, TextIO

_MOST: Final = 4
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Writes to *stream*."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[str, ...] = ()
        self._open = False

    def say(self, line: str) -> None:
        """Write one line that stays."""
        self._write((_CLEAR if self._open else "") + line + "\n")
        self._open = False

    def waits(self, what: Sequence[str], seconds: int) -> None:
        """Say what is waited for, and since when."""
        if self._stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._write(_CLEAR + f"  {seconds} s: waiting for {_few(what)}"[:width])
            self._open = True
        elif tuple(what) != self._last:
            self._write(f"  {seconds} s: waiting for {_few(what)}\n")
        self._last = tuple(what)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _few(what: Sequence[str]) -> str:
    more = len(what) - _MOST
    return ", ".join(what[:_MOST]) + (f" and {more} more" if more > 0 else "")
