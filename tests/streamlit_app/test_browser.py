"""The page in a real browser: what a supervisor's eyes and mouse meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis

from infra.launcher import redis_server
from infra.launcher.probes import answers
from linewatch import keys
from linewatch.board.store import Board
from tests.support.board_facts import score, start
from tests.support.board_seed import seed_health
from tests.support.screenshot import browser_path, opened
from tests.support.source import ROOT
from tests.support.waiting import eventually

EVIL = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module", name="port")
def _port():
    return redis_server.free_port()


@contextmanager
def running(redis_port, port, **given):
    """Run a real dashboard process."""
    env = os.environ | {
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
        **given,
    }
    command = [sys.executable, "-m", "streamlit_app"]
    process = subprocess.Popen([*command, "--server.port", str(port)], env=env, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module", name="server")
def _server(redis_port, port):
    with running(redis_port, port) as process:
        yield process


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


@pytest.fixture(name="crowd")
def _crowd(redis_url, board):
    """Thirty calls more: of an hour and more, with labels that differ in their last characters."""
    now_ms = int(time.time() * 1000)
    for number in range(30):
        call, began_ms = f"{LONG}-{number:03}", now_ms - 3_918_000 * (number + 1)
        # Every third has no label: its id stands there.
        line = f"line-0001-{LONG}-{number}" if number % 3 else ""
        announced = start(call, line=line, agent=f"agent-{LONG}-{number}", queue=LONG)
        board.put(replace(announced, started_at_ms=began_ms))
        for at_ms in (3_600_000, 3_610_000, 3_620_000):
            board.put(score(at_ms // 10_000, -0.9, LONG_WORDS, call=call, started_at_ms=began_ms))
    with redis.Redis.from_url(redis_url) as client:
        seed_health(client)
    return f"{LONG}-007"


LONG = "support-desk-north-frankfurt-am-main"
LONG_WORDS = (
    "nobody helped me and i have been calling for hours about the same bill again and again"
)
#: Every block in which a duration is cut, runs into its neighbour or has to be scrolled to.
CUT_DURATIONS = """[...document.querySelectorAll('.lw *')]
    .filter(at => /[0-9]:[0-9][0-9]/.test(at.textContent))
    .filter(at => at.clientWidth && at.scrollWidth > at.clientWidth)
    .map(at => at.outerHTML.slice(0, 120))"""
#: What is cut of a label, or has to be scrolled to.
CUT_LABELS = """[...document.querySelectorAll('.c-line, .c-agent, .alert, .alert b, .kpi .note')]
    .filter(at => at.clientWidth && at.scrollWidth > at.clientWidth)
    .map(at => at.outerHTML.slice(0, 120))"""
WIDER_THAN_THE_PAGE = """[...document.querySelectorAll('body, body *')]
    .filter(at => at.getBoundingClientRect().right > innerWidth
        || (getComputedStyle(at).overflowX !== 'hidden' && at.clientWidth
            && at.scrollWidth > at.clientWidth))
    .filter(at => !at.closest('.sr'))
    .map(at => at.outerHTML.slice(0, 120))"""
SHARE = """(() => {
    const width = selector => document.querySelector(selector).getBoundingClientRect().width;
    return width('.lw tbody .c-words') / width('.lw table') })()"""
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
        page.evaluate("document.querySelector('.lw').receivedAt -= 3_918_000")
        page.wait_for_function(
            "document.querySelector('[data-old-words]').textContent === '65 min'"
        )
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


def shown(page, url, width, rows):
    """Open *url* *width* pixels wide and wait for all *rows* of the table."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    page.wait_for_function(f"document.querySelectorAll('.lw tbody tr').length === {rows}")


@pytest.mark.parametrize("width", [1024, 1280, 1440, 1600, 1920])
def test_last_words_keep_a_third(url, page, crowd, width):
    """From 1024 px up the last words have a third of the table, which needs no scrolling."""
    shown(page, url, width, 32)

    assert page.evaluate(SHARE) >= 1 / 3
    table = "document.querySelector('.lw .calls')"
    assert page.evaluate(f"{table}.scrollWidth <= {table}.clientWidth")


@pytest.mark.parametrize("width", [360, 768, 1024, 1280, 1600, 1920])
def test_hours_are_never_cut(url, page, crowd, width):
    """Durations of hours stand whole in table, detail and key figures at every width."""
    shown(page, f"{url}?call={crowd}", width, 32)
    page.wait_for_selector(".detail .entry")

    assert page.evaluate(CUT_DURATIONS) == []
    assert page.locator(".lw .c-time", has_text="1:05:").count() == 1
    assert page.locator(".detail time", has_text="1:00:00").count() == 1


@pytest.mark.parametrize("width", [360, 1024, 1280, 1600])
def test_long_labels_differ(url, page, crowd, width):
    """No two lines, agents or alerts look alike, though their labels are long and begin alike."""
    shown(page, url, width, 32)

    assert page.evaluate(CUT_LABELS) == []
    for each in (".lw tbody .c-line", ".alert b"):
        seen = page.locator(each).all_inner_texts()
        assert len(set(seen)) == len(seen) >= 30
    agents = page.locator(".lw tbody .c-agent").all_inner_texts()
    assert len(set(agents)) == 31


@pytest.mark.parametrize("width", [360, 390, 480])
def test_phone_shows_cards(url, page, crowd, width):
    """On a phone each call is a card as wide as the page, and nothing scrolls sideways."""
    shown(page, url, width, 32)

    assert page.evaluate(WIDER_THAN_THE_PAGE) == []
    assert page.evaluate(SHARE) > 0.9
    assert page.locator(".lw tbody tr").first.bounding_box()["height"] > 80


def test_phone_shows_chosen_call(url, page, crowd):
    """On a phone the detail of a card that was touched lies over the foot of the page."""
    shown(page, url, 390, 32)
    page.locator(f"tr[data-key='{crowd}'] .c-words").click()
    page.wait_for_selector(f".detail[data-call='{crowd}']")

    box = page.locator(".detail").bounding_box()
    assert 0 < box["y"] < 800
    assert box["y"] + box["height"] == 800
    assert page.evaluate(WIDER_THAN_THE_PAGE) == []


def test_table_stays_a_table(url, page, board):
    """To a screen reader the grid of cells is still a table with headed columns and rows."""
    for width in (390, 1280, 1600):
        shown(page, url, width, 2)
        assert page.get_by_role("table").get_by_role("row").count() == 3
        assert page.get_by_role("rowheader", name="line-1").count() == 1
        assert page.get_by_role("columnheader", name="Time").count() == 1


@pytest.mark.parametrize("path", ["/board", "a/b"])
def test_page_works_under_a_path(page, board, redis_port, path):
    """Under STREAMLIT_SERVER_BASE_URL_PATH page, sockets and links stay below that path."""
    port, prefix = redis_server.free_port(), "/" + path.strip("/")
    asked = []
    with running(redis_port, port, STREAMLIT_SERVER_BASE_URL_PATH=path) as process:
        is_up = answers(port, f"{prefix}/_stcore/health")
        eventually(lambda: is_up() or process.poll() is not None)
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(f"http://127.0.0.1:{port}{prefix}")
        await_order(page, "call-1", "call-2")
        page.click("tr[data-key='call-2'] .c-line a")
        page.wait_for_selector(".detail[data-call='call-2']")

        at = f"127.0.0.1:{port}"
        sent = {urlsplit(url) for url in [*asked, page.url] if at in url and "blob:" not in url}
        assert {"http", "ws"} == {url.scheme for url in sent}
        assert [url for url in sent if not f"{url.path}/".startswith(f"{prefix}/")] == []
