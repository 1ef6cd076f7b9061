"""A secret in a file that is read again when it changes, as a mounted Secret does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from linewatch.errors import SettingsError

log = logging.getLogger(__name__)

#: A change is seen so late at most.
LOOK_S: Final = 1.0
T = TypeVar("T")
_Stamp = tuple[int, int, int]


class SecretFile(Generic[T]):
    """What *parse* makes of the file's text; what cannot be read leaves the last one in force.

    Raises:
        SettingsError: the file cannot be read, or *parse* refuses it, at the start.
    """

    def __init__(
        self, path: Path, parse: Callable[[str], T], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._parse = parse
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._look_at_s = clock_s() + LOOK_S
        try:
            self._stamp = self._stamp_now()
            self._value = parse(path.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} cannot be used: {_kind(error)}") from None

    def value(self) -> T:
        """Return what the file says now."""
        if self._clock_s() >= self._look_at_s:
            with self._lock:
                self._look()
        return self._value

    def _look(self) -> None:
        self._look_at_s = self._clock_s() + LOOK_S
        try:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._value = self._parse(self._path.read_text())
                self._stamp = stamp
                log.info("%s was read again", self._path.name)
        except (OSError, ValueError) as error:
            log.warning("%s stays as it was: %s", self._path.name, _kind(error))

    def _stamp_now(self) -> _Stamp:
        # A mounted Secret is replaced by changing where a link leads.
        told = self._path.stat()
        return told.st_mtime_ns, told.st_size, told.st_ino


def _kind(error: OSError | ValueError) -> str:
    """Tell what is wrong without what stands in the file."""
    return error.strerror or "?" if isinstance(error, OSError) else str(error)
