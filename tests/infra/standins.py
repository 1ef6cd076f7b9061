"""Tiny processes that stand in for the real roles, and a launcher of them to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from infra.launcher.process import Role
from tests.support.source import ROOT

STAYS = "import time; time.sleep(60)"
SLEEPS = f"print('up', flush=True); {STAYS}"
IGNORES_SIGTERM = f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEPS}"
HAS_A_CHILD = (
    f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {STAYS!r}])\n{SLEEPS}"
)
#: What a program needs in its environment to import the project.
IMPORTS = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}


class Heard:
    """A console that remembers what was said."""

    def __init__(self):
        self.lines = []

    def say(self, name, text):
        """Remember a line."""
        self.lines.append((name, text))

    def said(self, name, part):
        """Whether *name* said a line that holds *part*."""
        return any(who == name and part in text for who, text in self.lines)


def role(name, code, **facts):
    """A role that runs a line of Python, fast to start."""
    return Role(name=name, command=(sys.executable, "-I", "-S", "-c", code), **facts)


def marked(mark):
    """The processes whose environment holds ``MARK=mark``, zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def launch(mark, stages):
    """Start a launcher of *stages* in a process of its own; a stage is ``{name: code}``."""
    code = textwrap.dedent(
        f"""
        import sys
        from infra.launcher.console import Console
        from infra.launcher.supervisor import StopSignals, Supervisor
        from infra.launcher.process import Role
        say = Console().say
        stages = [
            [Role(name, (sys.executable, "-I", "-S", "-c", code)) for name, code in stage.items()]
            for stage in {stages!r}
        ]
        stop = StopSignals()
        stop.install()
        Supervisor(stages, say, stop).run(lambda: say("test", "all ready"))
        say("test", "all stopped")
        """
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**IMPORTS, "MARK": mark},
        cwd=ROOT,
    )


def read_until(process, *parts):
    """Read the launcher's lines until each of *parts* was in one, in whatever order."""
    lines, missing = [], set(parts)
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        missing = {part for part in missing if part not in line}
        if not missing:
            return lines
    raise AssertionError(f"{missing} not said: {lines}")
