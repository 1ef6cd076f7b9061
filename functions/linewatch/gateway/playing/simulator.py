"""Lines that play recorded calls: one for a file, or many for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from linewatch import events
from linewatch.calls import CallStart
from linewatch.gateway.line import Line
from linewatch.gateway.playing.pace import Clock, Pace
from linewatch.gateway.playing.recording import Recording

#: What is left of a call may take this long when it ends by itself, and when we stop.
DRAIN_S: Final = 30.0
STOP_S: Final = 1.5
_LOOK_S: Final = 0.2
#: What a call's id takes of its line's name, so that the moment fits in after it.
_LINE_BYTES: Final = 220
PAUSE_S: Final = (2.0, 10.0)
_STAGGER_S: Final = 10.0
_HELD_SHARE: Final = 0.5
_HOLD_SPREAD: Final = (0.5, 1.5)
_AGENTS: Final = (
    "Alex Morgan",
    "Sam Rivera",
    "Jordan Blake",
    "Casey Lindt",
    "Robin Achebe",
    "Taylor Okafor",
    "Jamie Novak",
    "Morgan Ito",
    "Riley Hansen",
    "Avery Costa",
    "Quinn Meyer",
    "Drew Castillo",
    "Noor Haddad",
    "Sasha Petrov",
    "Kim Larsen",
    "Dana Weiss",
)

MakeLine = Callable[[CallStart, Recording], Line]


def call_id(line: str, started_at_ms: int) -> str:
    """Return the id of the call that began on *line* then: unique per call."""
    name = line.encode()[:_LINE_BYTES].decode(errors="ignore")
    return f"{name}-{events.at(started_at_ms):%Y%m%dT%H%M%S}{started_at_ms % 1000:03d}Z"


def play(
    line: Line,
    recording: Recording,
    clock: Clock,
    *,
    piece_ms: int,
    start: int = 0,
    hold_s: float = 0.0,
) -> bool:
    """Play *recording* from sample *start* on *line* at exactly 1x, then end the call.

    Returns:
        Whether every channel was brought to its end.
    """
    pace = Pace(clock, recording.wav.rate_hz)
    width = recording.wav.codec.sample_bytes
    for piece in recording.pieces(piece_ms, start=start, hold_s=hold_s):
        if pace.spoken(len(next(iter(piece.values()))) // width) or line.lost:
            break
        for channel, audio in piece.items():
            line.push(channel, audio)
    _drain(line, clock)
    return line.close(STOP_S)


def _drain(line: Line, clock: Clock) -> None:
    line.finish()
    deadline_s = clock.monotonic_s() + DRAIN_S
    while not clock.stop.is_set() and clock.monotonic_s() < deadline_s and not line.wait(_LOOK_S):
        pass


@dataclass(frozen=True, slots=True)
class Plan:
    """What the simulator plays: *hold_share* of a line's time is spent on hold.

    *prefix* tells the lines of one process, and what they draw, from those of another.
    """

    lines: int
    seed: int
    tenant: str
    piece_ms: int
    hold_share: float = 0.0
    prefix: str = ""


class Simulator:
    """Plays random calls on every line, each with a new id, until the clock stops."""

    def __init__(
        self, recordings: Sequence[Recording], make_line: MakeLine, clock: Clock, plan: Plan
    ) -> None:
        self._all = list(recordings)
        self._plain = [each for each in recordings if each.hold is None]
        self._held = [each for each in recordings if each.can_hold]
        self._make_line = make_line
        self._clock = clock
        self._plan = plan

    def run(self) -> None:
        """Run every line until the clock stops and all calls have ended."""
        threads = [
            threading.Thread(target=self.run_line, args=(number,), name=f"line-{number:02d}")
            for number in range(1, self._plan.lines + 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def run_line(self, number: int) -> None:
        """Play calls on line *number*, with pauses between them, until the clock stops."""
        prefix, seed = self._plan.prefix, self._plan.seed
        chance = random.Random(f"{prefix}{seed}/{number}")  # noqa: S311 - a simulation
        name = f"{prefix or 'line'}-{number:02d}"
        agent = _AGENTS[(number - 1) % len(_AGENTS)]
        wait_s = chance.uniform(0, _STAGGER_S)
        while not self._clock.wait(wait_s):
            recording, hold_s = self.draw(chance)
            start = self._start(name, agent, recording)
            line = self._make_line(start, recording)
            line.open()
            play(line, recording, self._clock, piece_ms=self._plan.piece_ms, hold_s=hold_s)
            wait_s = chance.uniform(*PAUSE_S)

    def _start(self, line: str, agent: str, recording: Recording) -> CallStart:
        now_ms = self._clock.wall_ms()
        return CallStart(
            tenant=self._plan.tenant,
            call=call_id(line, now_ms),
            line=line,
            started_at_ms=now_ms,
            agent=agent,
            queue=recording.queue,
            direction=recording.direction,
        )

    def draw(self, chance: random.Random) -> tuple[Recording, float]:
        """Choose a recording and how long its hold lasts, in seconds."""
        share = self._plan.hold_share
        if not share or not self._held or not self._plain:
            return chance.choice(self._all), 0.0
        if chance.random() >= _HELD_SHARE:
            return chance.choice(self._plain), 0.0
        return chance.choice(self._held), self._mean_hold_s() * chance.uniform(*_HOLD_SPREAD)

    def _mean_hold_s(self) -> float:
        talk_s = sum(each.duration_s for each in self._all) / len(self._all) + sum(PAUSE_S) / 2
        share = self._plan.hold_share
        return talk_s * share / (1 - share) / _HELD_SHARE
