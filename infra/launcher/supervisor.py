"""Start processes stage by stage, keep them running, and stop them in reverse order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from infra.launcher.process import Process, Role, Say
from linewatch.errors import LinewatchError

_LOOK_S: Final = 0.1
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 10.0
#: A process that ran for so long has recovered: its next restart is quick again.
_STEADY_S: Final = 30.0
_HURRY_S: Final = 1.0


class StartFailed(LinewatchError):
    """A process died or was not ready in time; everything was stopped again."""

    title = "Start failed"


class StopSignals:
    """Ctrl-C, SIGTERM or a closed terminal ask for a stop; asked once more, it is hurried.

    Make passes signals on that its whole process group got, so repeats within
    a second are one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._last_s = float("-inf")

    def install(self) -> None:
        """Take the signals over; nohup keeps its word, a script's ``&`` does not stop Ctrl-C."""
        signal.signal(signal.SIGINT, self._asked)
        signal.signal(signal.SIGTERM, self._asked)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._asked)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        if self._clock() - self._last_s >= _HURRY_S:
            self.count += 1
        self._last_s = self._clock()


@dataclass(slots=True)
class _Care:
    """What the supervisor knows of one process after the start."""

    process: Process
    started_s: float
    failures: int = 0
    restart_s: float | None = None
    is_ready: bool = True


def restart_delay_s(failures: int) -> float:
    """Return how long to wait before restart number *failures* (from 1) in a row."""
    return min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (min(failures, 10) - 1))


class Supervisor:
    """Runs stages of roles; those of one stage start together, the next when all are ready."""

    def __init__(
        self,
        stages: Sequence[Sequence[Role]],
        say: Say,
        stop: StopSignals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = [[Process(role, say) for role in stage] for stage in stages]
        self._say = say
        self._stop = stop
        self._clock = clock

    def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call *on_ready*, and keep it running until asked to stop.

        Raises:
            StartFailed: a process died or was not ready in time, or ended by a wrong setting.
        """
        try:
            for stage in self._stages:
                self._start(stage)
            if not self._stop.count:
                on_ready()
                self._watch()
        finally:
            self._end()

    def _start(self, stage: Sequence[Process]) -> None:
        if self._stop.count:
            return
        begun_s = self._clock()
        for process in stage:
            process.start()
        waiting = list(stage)
        while waiting and not self._stop.count:
            for process in list(waiting):
                if self._has_come_up(process, self._clock() - begun_s):
                    waiting.remove(process)
            if waiting:
                time.sleep(_LOOK_S)

    def _has_come_up(self, process: Process, waited_s: float) -> bool:
        name = process.role.name
        if not process.is_alive:
            process.sweep()
            if process.role.ends and process.ended_well:
                return True
            raise StartFailed(f"{name} {process.how_it_ended}: {process.last_line}".rstrip(": "))
        if not process.role.ends and process.role.is_ready():
            self._say(name, "is ready")
            return True
        if waited_s > process.role.ready_within_s:
            raise StartFailed(f"{name} was not ready within {process.role.ready_within_s:g} s")
        return False

    def _watch(self) -> None:
        now_s = self._clock()
        lasting = [each for stage in self._stages for each in stage if not each.role.ends]
        cares = [_Care(process, now_s) for process in lasting]
        while not self._stop.count:
            for care in cares:
                self._look_after(care)
            time.sleep(_LOOK_S)

    def _look_after(self, care: _Care) -> None:
        now_s = self._clock()
        if care.restart_s is not None:
            if now_s >= care.restart_s:
                self._restart(care)
        elif not care.process.is_alive:
            self._plan_restart(care)
        elif not care.is_ready and care.process.role.is_ready():
            care.is_ready = True
            self._say(care.process.role.name, "is ready again")

    def _plan_restart(self, care: _Care) -> None:
        care.process.sweep()
        if care.process.was_misled:
            raise StartFailed(f"{care.process.role.name}: {care.process.last_line}")
        now_s = self._clock()
        steady = care.is_ready and now_s - care.started_s >= _STEADY_S
        care.failures = 1 if steady else care.failures + 1
        delay_s = restart_delay_s(care.failures)
        care.restart_s, care.is_ready = now_s + delay_s, False
        ended = care.process.how_it_ended
        self._say(care.process.role.name, f"{ended}; is started again in {delay_s:g} s")

    def _restart(self, care: _Care) -> None:
        care.restart_s, care.started_s = None, self._clock()
        care.process.start()

    def _end(self) -> None:
        asked = self._stop.count
        self._say("linewatch", "stopping")
        for stage in reversed(self._stages):
            for process in stage:
                process.ask_to_stop()
            self._await_end(stage, asked)
            for process in stage:
                process.sweep()

    def _await_end(self, stage: Sequence[Process], asked: int) -> None:
        deadline_s = self._clock() + max((p.role.stop_within_s for p in stage), default=0.0)
        while any(process.is_alive for process in stage):
            late = [p.role.name for p in stage if p.is_alive]
            if self._clock() > deadline_s or self._stop.count > asked:
                self._say("linewatch", f"{', '.join(late)} did not stop in time and is killed")
                return
            time.sleep(_LOOK_S / 5)
