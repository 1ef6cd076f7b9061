"""Lines on the terminal, each with the name of the process that wrote it."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final, TextIO

_NAME_WIDTH: Final = 11
_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


def wants_colour(stream: TextIO) -> bool:
    """Tell whether *stream* is a terminal whose user did not ask for plain text."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class Console:
    """Writes whole lines from many threads; a reader that went away is no error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colour = wants_colour(self._stream)
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}

    def say(self, name: str, text: str) -> None:
        """Write one line said by *name*."""
        with self._lock:
            line = f"{self._prefix(name)} {text}\n"
            try:
                self._stream.write(line)
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                return

    def _prefix(self, name: str) -> str:
        plain = f"{name:<{_NAME_WIDTH}} |"
        if not self._colour:
            return plain
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{plain}\x1b[0m"
