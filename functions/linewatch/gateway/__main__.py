"""``python -m linewatch.gateway``: play one wav on a line, or simulate many lines.

::

    HOST=http://127.0.0.1:8080 python -m linewatch.gateway --file call.wav --line desk-7
    HOST=... DO_SIMULATE=true LINES=8 python -m linewatch.gateway
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from linewatch.calls import CallStart, Channel
from linewatch.errors import LinewatchError, SettingsError
from linewatch.gateway.decoders import Decoders
from linewatch.gateway.line import Line
from linewatch.gateway.metrics import Metrics
from linewatch.gateway.playing import simulator
from linewatch.gateway.playing.pace import Clock
from linewatch.gateway.playing.recording import Recording, read_folder
from linewatch.gateway.playing.simulator import Plan, Simulator
from linewatch.gateway.settings import GatewaySettings
from linewatch.names import checked_call, checked_label
from linewatch.secret_file import SecretFile
from linewatch.serving.health_port import HealthPort
from linewatch.settings import load, names, path, secret_line

_WRONG: Final = 2
_RESUME_S: Final = 10.0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m linewatch.gateway", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="as DO_SIMULATE=true")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation's choices")
    parser.add_argument("--file", type=Path, help="a wav file to play once; - is stdin")
    parser.add_argument("--line", default="line-01", help="the line it is played on")
    parser.add_argument("--channels", default="", help="who is on them, left first")
    parser.add_argument("--call", default="", help="the call's id; a new one if not given")
    parser.add_argument("--resume", action="store_true", help="go on with --call")
    parser.add_argument("--show", action="store_true", help="print the finals as JSON lines")
    return parser.parse_args(argv)


def _token(settings: GatewaySettings) -> str | Callable[[], str]:
    if not settings.token_file:
        return settings.token
    return SecretFile(path(settings.token_file), secret_line).value


class Gateway:
    """One run of the command."""

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.metrics = Metrics()
        chance = random.Random()  # noqa: S311 - load spreading, no secret
        self._decoders = Decoders(settings.hosts, token=_token(settings), chance=chance)

    @property
    def tenant(self) -> str:
        """The tenant the calls belong to."""
        return self._settings.tenant or "default"

    def line(self, start: CallStart, recording: Recording) -> Line:
        """Return a line that brings *recording* to the decoders."""
        return Line(
            start,
            recording.channels,
            recording.wav.codec,
            recording.wav.rate_hz,
            self._decoders,
            chunk_ms=self._settings.chunk_ms,
            name_tenant=bool(self._settings.tenant),
            metrics=self.metrics,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show health and metrics meanwhile, if they have a port."""
        if not self._settings.port:
            yield
            return
        shown = HealthPort(self._settings.bind, self._settings.port, self.metrics.text)
        try:
            yield
        finally:
            shown.close()

    def simulate(self, seed: int) -> int:
        """Simulate until the clock stops."""
        plan = Plan(
            lines=self._settings.lines,
            seed=seed,
            tenant=self.tenant,
            piece_ms=self._settings.chunk_ms,
            hold_share=self._settings.hold_share,
            prefix=self._settings.line_prefix,
        )
        recordings = read_folder(self._settings.calls_dir)
        Simulator(recordings, self.line, self._clock, plan).run()
        return 0

    def play(self, recording: Recording, line_name: str, call: str, *, resume: bool) -> Line:
        """Play one recording on a line, the rest of it where the call is resumed."""
        now_ms = self._clock.wall_ms()
        name = checked_label("line", line_name)
        call = checked_call(call or simulator.call_id(name, now_ms))
        line = self.line(CallStart(self.tenant, call, name, now_ms), recording)
        first = 0
        if resume:
            line.resume(_RESUME_S)
            first = max(line.sender(channel).position for channel in line.channels)
        line.open()
        piece_ms = self._settings.chunk_ms
        simulator.play(line, recording, self._clock, piece_ms=piece_ms, start=first)
        return line


def _play(gateway: Gateway, arguments: argparse.Namespace) -> int:
    channels = tuple(Channel(each) for each in names(arguments.channels))
    recording = Recording.of_file(arguments.file, channels)
    line = gateway.play(recording, arguments.line, arguments.call, resume=arguments.resume)
    for channel in line.channels if arguments.show else ():
        for final in line.finals(channel):
            sys.stdout.write(json.dumps({"channel": str(channel), **final}) + "\n")
    return 0 if line.ended else 1


def main(argv: Sequence[str], env: Mapping[str, str], clock: Clock) -> int:
    """Run the command; return its exit code."""
    arguments = _arguments(argv)
    try:
        settings = load(GatewaySettings, env)
        gateway = Gateway(settings, clock)
        with gateway.shown():
            if arguments.file:
                return _play(gateway, arguments)
            if arguments.simulate or settings.simulate:
                return gateway.simulate(arguments.seed)
        raise SettingsError("nothing to do: give --file X.wav, or DO_SIMULATE=true")
    except (LinewatchError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _WRONG


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    sys.exit(main(sys.argv[1:], os.environ, Clock(stop)))
