"""The demo as a newcomer starts it: every process, a real call, the row, and nothing left."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from linewatch.board.store import Board
from tests.infra.standins import IMPORTS, ROOT, marked
from tests.support.waiting import eventually

#: A dozen processes, and then a sentence that is spoken at its own pace.
START_S = 300
READY = re.compile(r"ready in ([0-9.]+) s, .* http://127\.0\.0\.1:([0-9]+)")


class Demo:
    """A running launcher, its lines, and what is told to its processes."""

    def __init__(self, folder, model, **env):
        self.mark = uuid.uuid4().hex
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "infra.local"],
                env={
                    **IMPORTS,
                    "HOME": os.environ.get("HOME", "/"),
                    "LINES": "1",
                    "MARK": self.mark,
                    "STATE_DIR": str(folder / "state"),
                    "VOSK_MODEL_PATH": str(model),
                    **env,
                },
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def lines(self):
        """What was said so far."""
        return self.log.read_text().splitlines()

    def said(self, part):
        """Whether a line holds *part*; fails when the launcher has ended."""
        assert self.launcher.poll() is None, self.log.read_text()
        return any(part in line for line in self.lines)

    def ready(self):
        """The seconds the start took and the dashboard's port."""
        eventually(lambda: self.said("| ready in "), START_S)
        seconds, port = READY.search(self.log.read_text()).groups()
        return float(seconds), int(port)

    def process(self, part):
        """The oldest process whose command line holds *part*."""
        for pid in sorted(marked(self.mark)):
            if part in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                return pid
        raise AssertionError(f"no process runs {part}")

    def told(self, part, name):
        """Environment variable *name* of a process."""
        raw = Path(f"/proc/{self.process(part)}/environ").read_bytes()
        return dict(pair.partition("=")[::2] for pair in raw.decode().split("\0"))[name]


@pytest.fixture(scope="module", name="demo")
def _demo(tmp_path_factory, prepared_model):
    """The demo with one line; none of its processes outlives the tests."""
    demo = Demo(tmp_path_factory.mktemp("demo"), prepared_model)
    yield demo
    for pid in marked(demo.mark):
        os.kill(pid, signal.SIGKILL)
    demo.launcher.wait()


def test_start_is_quick(demo):
    """The demo is ready sooner than its slowest role could import its libraries twelve times."""
    seconds, _ = demo.ready()
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import spacytextblob.spacytextblob"], check=True)
    assert seconds < 12 * (time.monotonic() - begun_s)


def test_dashboard_answers(demo):
    """The address that is printed is the dashboard's."""
    _, port = demo.ready()
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    caller.request("GET", "/")
    reply = caller.getresponse()
    page = reply.read().decode()
    caller.close()
    assert (reply.status, "<title>" in page) == (200, True)


def test_words_reach_board(demo):
    """A call's audio becomes a row with words and a score, through every process between."""
    demo.ready()
    board = Board.from_url(demo.told("dispatcher", "REDIS_URL"))
    try:
        eventually(lambda: any(row.polarity is not None for row in rows(board)), START_S)
        row = next(row for row in rows(board) if row.polarity is not None)
        health = board.snapshot("default").health
    finally:
        board.close()
    assert (row.tenant, row.line, row.ended_at_ms) == ("default", "line-01", None)
    assert row.last_text
    assert row.consumer == "sentiment"
    assert len(health.decoders) == 2
    assert {each.name: each.replicas for each in health.functions} == {"board": 1, "sentiment": 1}
    assert sum(health.dead_letters.values()) == 0


def rows(board):
    """The rows of the board."""
    return board.snapshot("default").rows


def test_dead_decoder_returns(demo):
    """A decoder that is killed is started again, and both are said."""
    demo.ready()
    os.kill(demo.process("decoder/gunicorn.conf.py"), signal.SIGKILL)
    eventually(lambda: demo.said("was ended by SIGKILL; is started again"))
    eventually(lambda: demo.said("is ready again"))


def test_ctrl_c_leaves_nothing(demo):
    """Ctrl-C stops everything, functions included, and no process is left."""
    demo.ready()
    assert len(marked(demo.mark)) > 9
    demo.launcher.send_signal(signal.SIGINT)
    assert demo.launcher.wait(timeout=60) == 0
    assert marked(demo.mark) == []
    assert demo.lines[-1] == "linewatch   | stopped"
    assert not any("Traceback" in line for line in demo.lines)
    assert not any("did not stop in time" in line for line in demo.lines)
