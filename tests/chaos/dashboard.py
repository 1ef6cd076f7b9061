"""The dashboard killed with two tabs open: both show the board again, no call notices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager

from decoders import ROOT
from playwright.sync_api import sync_playwright

from infra.redis_server import free_port
from infra.screenshot import browser_path
from infra.tether import tethered
from linewatch.board.store import Board
from tests.board_facts import score, start
from tests.chaos.faults import played
from tests.chaos.kills import BRIEF
from tests.chaos.rig import TooLong, rig, within
from tests.chaos.row import Row, quantile

TABS = 2
#: From the first answer of the new process to the same board on every tab.
SHOWN_S = 2.0
UP_S = 60
_PATIENCE_MS = 60_000
_SAME = (
    "words => [...document.querySelectorAll('.lw tbody tr')].some(r => r.innerText.includes(words))"
)


def killed(chance, times=5):
    """SIGKILL the dashboard *times*; what was said meanwhile must be on both tabs."""
    if browser_path() is None:
        raise TooLong("no chromium on PATH: apt-get install chromium, or set CHROMIUM")
    with ExitStack() as stack:
        site = stack.enter_context(rig(2))
        board = stack.enter_context(_board(site.redis_url))
        seconds = []
        verdict, _ = played(
            site,
            chance,
            lambda _: seconds.extend(_kill(site, board, times)),
            calls=4,
            speed=1.0,
            scripts=BRIEF,
        )
    shown = [each for _, each in seconds]
    again_s = quantile([each for each, _ in seconds], 0.95)
    return Row(
        "dashboard-kills",
        18,
        f"dashboard SIGKILLed, {TABS} tabs open",
        times,
        verdict,
        f"{len(shown)} times a tab showed what was said meanwhile,"
        f" p95 {again_s:.1f} s after the kill",
        passed=len(shown) == TABS * times,
        recoveries=shown,
        aim_s=SHOWN_S,
    )


@contextmanager
def _board(url):
    board = Board.from_url(url)
    board.put(start("shown", line="line-1"))
    board.put(score(0, -0.3, text="words 0", call="shown"))
    yield board
    board.close()


def _kill(site, board, times):
    """Return for each tab and kill: seconds from the kill, and from the new process' answer."""
    port, seconds = free_port(), []
    with ExitStack() as stack:
        browser = stack.enter_context(_browser())
        process = _start(stack, site, port)
        tabs = [browser.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.goto(f"http://127.0.0.1:{port}/")
            tab.wait_for_function(_SAME, arg="words 0", timeout=_PATIENCE_MS)
        for number in range(1, times + 1):
            process.kill()
            process.wait()
            killed_s = time.monotonic()
            board.put(score(number, -0.3, text=f"words {number}", call="shown"))
            process = _start(stack, site, port)
            up_s = time.monotonic()
            for tab in tabs:
                tab.wait_for_function(_SAME, arg=f"words {number}", timeout=_PATIENCE_MS)
                seconds.append((time.monotonic() - killed_s, time.monotonic() - up_s))
    return seconds


@contextmanager
def _browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


def _start(stack, site, port):
    env = {
        **os.environ,
        "REDIS_URL": site.redis_url,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "functions"), str(ROOT))),
    }
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app/app.py"]
    command = tethered([*command, "--server.port", str(port)])
    with (site.folder / "dashboard.log").open("a") as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.kill)
    within(UP_S, lambda: _answers(port), "the dashboard answers", 0.02)
    return process


def _answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
