"""A tethered process ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

from infra.launcher import tether
from tests.infra.standins import IGNORES_SIGTERM, IMPORTS, SLEEPS, STAYS, marked
from tests.support.waiting import eventually


def test_command_takes_place():
    """The command runs under the pid that was started, with its own exit code."""
    code = "import os, sys; print(os.getpid()); sys.exit(7)"
    run = subprocess.Popen(
        tether.tethered([sys.executable, "-c", code]), stdout=subprocess.PIPE, text=True
    )
    said, _ = run.communicate(timeout=60)
    assert (str(run.pid), 7) == (said.strip(), run.returncode)


def test_parent_kill_ends_command():
    """SIGKILL of the parent, which no code can catch, ends the command too."""
    mark = uuid.uuid4().hex
    code = (
        "import subprocess, sys; from infra.launcher.tether import tethered\n"
        f"subprocess.Popen(tethered([sys.executable, '-c', {SLEEPS!r}])); {STAYS}"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**IMPORTS, "MARK": mark}, stdout=subprocess.PIPE
    )
    parent.stdout.readline()
    eventually(lambda: len(marked(mark)) == 2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not marked(mark))


def test_stubborn_command_is_killed():
    """A command that would not end by SIGTERM can be tethered by SIGKILL."""
    mark = uuid.uuid4().hex
    code = (
        "import subprocess, sys; from infra.launcher.tether import tethered\n"
        f"subprocess.Popen(tethered([sys.executable, '-c', {IGNORES_SIGTERM!r}], 9)); {STAYS}"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**IMPORTS, "MARK": mark}, stdout=subprocess.PIPE
    )
    parent.stdout.readline()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not marked(mark))


def test_late_command_never_starts():
    """A command whose parent has gone before the tether held is not run."""
    nobodys_parent = str(os.getpid())
    assert tether.main([nobodys_parent, "15", sys.executable, "-c", "raise SystemExit(9)"]) == 1


def test_missing_program_says_so():
    """A program that is not there is one line and exit code 127, no traceback."""
    run = subprocess.run(
        tether.tethered(["no-such-program"]), capture_output=True, text=True, check=False
    )
    assert run.returncode == 127
    assert run.stderr == "no-such-program cannot be started: No such file or directory\n"
