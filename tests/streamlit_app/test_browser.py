"""The page in a real browser: what a supervisor's eyes and mouse meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import redis

from infra.launcher import redis_server
from infra.launcher.probes import answers
from linewatch import keys
from linewatch.board.store import Board
from tests.support.board_facts import score, start
from tests.support.screenshot import browser_path, opened
from tests.support.source import ROOT
from tests.support.waiting import eventually

EVIL = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module", name="port")
def _port():
    return redis_server.free_port()


@pytest.fixture(scope="module", name="server")
def _server(redis_port, port):
    """A real dashboard process."""
    env = os.environ | {
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
    }
    command = [sys.executable, "-m", "streamlit_app"]
    process = subprocess.Popen([*command, "--server.port", str(port)], env=env, cwd=ROOT)
    yield process
    process.terminate()
    process.wait()


@pytest.fixture(scope="module", name="url")
def _url(server, port):
    """Its address, once it answers."""
    is_up = answers(port, "/_stcore/health")
    eventually(lambda: is_up() or server.poll() is not None)
    assert server.poll() is None
    return f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module", name="browser")
def _browser():
    if browser_path() is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    with opened() as browser:
        yield browser


@pytest.fixture(name="page")
def _page(browser):
    page = browser.new_page(viewport={"width": 1600, "height": 950})
    page.set_default_timeout(60_000)
    yield page
    page.close()


@pytest.fixture(name="board")
def _board(redis_url):
    """Two calls: line-1 is a little worse than line-2."""
    board = Board.from_url(redis_url)
    for call, polarity in (("call-1", -0.3), ("call-2", -0.1)):
        board.put(start(call, line=call.replace("call", "line")))
        board.put(score(0, polarity, text=f"words of {call}", call=call))
    yield board
    board.close()


LOOKS = "at => [getComputedStyle(at).color, getComputedStyle(at).fontStyle]"
ORDER = "[...document.querySelectorAll('.lw tbody tr')].map(row => row.dataset.key).join()"


def order(page):
    """The calls of the table, from the top."""
    return page.evaluate(ORDER).split(",")


def await_order(page, *calls):
    """Wait until the table shows *calls* in this order."""
    page.wait_for_function(f"want => {ORDER} === want", arg=",".join(calls))


def assert_fits(page):
    """Nothing lies below the fold or beside the page, and nobody is invited to deploy it."""
    bottom = page.evaluate("document.querySelector('.lw footer').getBoundingClientRect().bottom")
    assert bottom <= 950
    assert page.evaluate("document.documentElement.scrollWidth") <= 1600
    assert page.get_by_text("Deploy").count() == 0


def worsen(board, call):
    """Let *call*'s customer turn very angry."""
    for index in (1, 2, 3):
        board.put(score(index, -0.9, text="get me the supervisor", call=call))


def test_selection_follows_the_call(url, page, board):
    """When the order changes, the open detail and the marked row still name the same call."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    page.click("tr[data-key='call-1'] .c-words")
    page.wait_for_selector(".detail[data-call='call-1']")
    page.mouse.move(800, 20)

    worsen(board, "call-2")

    await_order(page, "call-2", "call-1")
    assert page.get_attribute("tr[aria-current]", "data-key") == "call-1"
    assert "words of call-1" in page.inner_text(".detail .transcript")
    assert "call=call-1" in page.url


def test_rows_never_flicker(url, page, board):
    """A running clock and a new order keep every node: none is taken away or made anew."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    cell = page.query_selector("tr[data-key='call-1'] .c-time")
    shown = cell.inner_text()
    page.evaluate("""() => {
        window.before = [...document.querySelectorAll('.lw, .lw table, .lw tbody tr, .lw td')];
        window.blank = 0;
        new MutationObserver(() => { if (!document.querySelector('.lw tbody tr')) window.blank++; })
            .observe(document.body, { subtree: true, childList: true });
    }""")

    worsen(board, "call-2")

    await_order(page, "call-2", "call-1")
    page.wait_for_function("([cell, shown]) => cell.innerText !== shown", arg=[cell, shown])
    assert page.evaluate("window.before.every(node => node.isConnected)")
    assert page.evaluate("window.before.length") > 20
    assert page.evaluate("window.blank") == 0


def test_spoken_words_are_grey(url, page, board, redis_url):
    """Words that are still being spoken are grey and slanted, those that were said are not."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(keys.partial("default", "call-1", "customer"), "i would like to", ex=60)
        page.goto(f"{url}?call=call-1")
        looks = page.locator(".entry.partial .text").evaluate(LOOKS)
        said = page.locator(".entry:not(.partial) .text").first.evaluate(LOOKS)
    assert looks == ["rgb(95, 105, 118)", "italic"]
    assert said[1] == "normal"
    assert said[0] != looks[0]


def test_reload_dims_nothing(url, page, board):
    """What Streamlit marks as stale while it draws anew is as bright as before."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    seen = page.evaluate(
        "(() => { const box = document.querySelector('.lw').closest('[data-testid]');"
        " box.dataset.stale = 'true'; box.style.opacity = '0.33';"
        " return getComputedStyle(box).opacity })()"
    )
    assert seen == "1"


def test_pause_really_pauses(url, page, board):
    """While paused not one node of the page changes, and it says since when."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    page.get_by_text("Pause", exact=True).click()
    page.wait_for_selector(".state.paused")
    page.wait_for_timeout(300)
    page.evaluate("""() => {
        window.changes = 0;
        new MutationObserver(found => { window.changes += found.length; }).observe(
            document.querySelector('.lw'),
            { subtree: true, childList: true, characterData: true, attributes: true });
    }""")

    worsen(board, "call-2")
    page.wait_for_timeout(2200)

    assert page.evaluate("window.changes") == 0
    assert "paused at" in page.inner_text(".state")
    page.get_by_text("Pause", exact=True).click()
    await_order(page, "call-2", "call-1")


def test_spoken_markup_is_inert(url, page, board):
    """Markup in words, names and queues is text that runs nothing and breaks no layout."""
    board.put(start("call-3", line=EVIL, agent=EVIL, queue=EVIL))
    board.put(score(0, text=EVIL, call="call-3", nouns=(EVIL,), consumer=EVIL))
    page.goto(f"{url}?call=call-3")
    page.wait_for_selector(".detail[data-call='call-3']")
    page.wait_for_timeout(300)

    assert page.locator(".lw img").count() == 0
    assert page.title() == "Linewatch"
    assert EVIL in page.inner_text(".detail .transcript")
    assert_fits(page)


def test_rows_wait_for_pointer(url, page, board):
    """Rows do not change places under a moving pointer, so no click hits the wrong call."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    page.hover("tr[data-key='call-1'] .c-words")

    worsen(board, "call-2")
    page.wait_for_selector("tr.help[data-key='call-2']")

    assert order(page) == ["call-1", "call-2"]
    page.mouse.move(800, 20)
    await_order(page, "call-2", "call-1")


def test_silent_server_grows_stale(url, page, board, server):
    """A page that hears nothing for 5 s says itself that it is stale, and recovers by itself."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    assert page.is_hidden("[data-old]")

    server.send_signal(signal.SIGSTOP)
    try:
        page.wait_for_selector("[data-old]:not([hidden])")
        assert "stale" in page.inner_text(".state")
    finally:
        server.send_signal(signal.SIGCONT)

    page.wait_for_selector("[data-old]", state="hidden")


def test_choices_live_in_url(url, page, board):
    """Text, severity, order and the open call stand in the URL, and it brings them back."""
    page.goto(url)
    await_order(page, "call-1", "call-2")
    page.click("thead [data-value='line']")
    page.wait_for_selector("thead .c-line[aria-sort]")
    page.click("tr[data-key='call-2'] .c-words")
    page.get_by_placeholder("Find a line").fill("line-2")
    await_order(page, "call-2")
    page.wait_for_selector(".detail[data-call='call-2']")
    shared = page.url
    assert all(part in shared for part in ("text=line-2", "sort=line", "call=call-2"))

    page.reload()

    await_order(page, "call-2")
    page.wait_for_selector(".detail[data-call='call-2']")
    page.click(".detail .close")
    page.wait_for_selector(".detail", state="detached")
    assert "call=" not in page.url
