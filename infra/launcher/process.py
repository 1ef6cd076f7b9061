"""One supervised process: started tethered, its lines passed on, stopped with its group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from infra.launcher.tether import tethered

#: The exit status of a process that refuses its settings.
WRONG_SETTING: Final = 2

Say = Callable[[str, str], None]


def _at_once() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Role:
    """What a process is for: its command, its whole environment, and how one sees it is ready.

    ``orphan_signal`` is what it gets if the launcher is killed, ``pass_fds`` are file
    descriptors of the launcher that it keeps open. A role that ``ends`` is a command:
    ready once it ended well, and not started again.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    is_ready: Callable[[], bool] = _at_once
    ready_within_s: float = 60.0
    stop_within_s: float = 15.0
    folder: Path | None = None
    orphan_signal: int = signal.SIGTERM
    pass_fds: tuple[int, ...] = ()
    ends: bool = False


class Process:
    """Runs a role, in a process group of its own."""

    def __init__(self, role: Role, say: Say) -> None:
        self.role = role
        self.last_line = ""
        self._say = say
        self._running: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None

    def start(self) -> None:
        """Start it. Call from the main thread: the tether holds to the thread that starts."""
        self._running = subprocess.Popen(  # noqa: S603 - the launcher's own command line
            tethered(self.role.command, self.role.orphan_signal),
            env=self.role.env,
            cwd=self.role.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self.role.pass_fds,
        )
        assert self._running.stdout is not None
        self._pump = threading.Thread(
            target=self._pass_on, args=(self._running.stdout,), daemon=True, name=self.role.name
        )
        self._pump.start()

    @property
    def pid(self) -> int | None:
        """Its process id, also that of its group."""
        return self._running.pid if self._running else None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.poll() is None

    @property
    def ended_well(self) -> bool:
        """Whether it ended with exit code 0."""
        return self._running is not None and self._running.poll() == 0

    @property
    def was_misled(self) -> bool:
        """Whether it ended because a setting is wrong, as it would each time."""
        return self._running is not None and self._running.returncode == WRONG_SETTING

    @property
    def how_it_ended(self) -> str:
        """Its end in words."""
        code = self._running.returncode if self._running else None
        if code is None:
            return "is not running"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process, which ends its own children."""
        if self._running and self.is_alive:
            self._running.terminate()

    def sweep(self) -> None:
        """Kill whatever is left of its group, and pass its last lines on."""
        if self._running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        if self._pump:
            self._pump.join(timeout=1)

    def _pass_on(self, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                text = raw.decode(errors="replace").rstrip()
                if text:
                    self.last_line = text
                    self._say(self.role.name, text)
