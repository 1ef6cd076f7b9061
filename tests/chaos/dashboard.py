"""The dashboard killed with two tabs open: both show the board again, no call notices."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

from playwright.sync_api import TimeoutError as TooSlow

from infra.launcher.probes import answers
from infra.launcher.redis_server import free_port
from linewatch.board.store import Board
from tests.chaos.delivery import started
from tests.chaos.faults import played
from tests.chaos.kills import BRIEF
from tests.chaos.rig import rig
from tests.chaos.row import Row, quantile
from tests.support.board_facts import score, start
from tests.support.screenshot import opened
from tests.support.waiting import TooLong, eventually

TABS = 2
#: From the first answer of the new process to the same board on every tab.
SHOWN_S = 2.0
UP_S = 60
SEEN_S = 60
_SAME = (
    "words => [...document.querySelectorAll('.lw tbody tr')].some(r => r.innerText.includes(words))"
)


def killed(chance, times=5):
    """SIGKILL the dashboard *times*; what was said meanwhile must be on both tabs."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(opened())
        except FileNotFoundError as error:
            raise TooLong(str(error)) from error
        site = stack.enter_context(rig(2))
        board = stack.enter_context(_board(site.redis_url))
        seconds = []
        verdict, _ = played(
            site,
            chance,
            lambda _: seconds.extend(_kill(browser, site, board, times)),
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


def _kill(browser, site, board, times):
    """Return for each tab and kill: seconds from the kill, and from the new process' answer."""
    port, seconds = free_port(), []
    with ExitStack() as stack:
        process = _start(stack, site, port)
        tabs = [browser.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.goto(f"http://127.0.0.1:{port}/")
            _await(tab, "words 0")
        for number in range(1, times + 1):
            process.kill()
            process.wait()
            killed_s = time.monotonic()
            board.put(score(number, -0.3, text=f"words {number}", call="shown"))
            process = _start(stack, site, port)
            up_s = time.monotonic()
            for tab in tabs:
                _await(tab, f"words {number}")
                seconds.append((time.monotonic() - killed_s, time.monotonic() - up_s))
    return seconds


def _start(stack, site, port):
    words = ("-m", "streamlit_app", "--server.port", str(port))
    process = stack.enter_context(started(site, "dashboard", *words))
    eventually(answers(port, "/_stcore/health"), UP_S, what="the dashboard answers", every_s=0.02)
    return process


def _await(tab, words):
    try:
        tab.wait_for_function(_SAME, arg=words, timeout=1000 * SEEN_S)
    except TooSlow as error:
        raise TooLong(f"not within {SEEN_S} s: a tab shows {words!r}") from error
