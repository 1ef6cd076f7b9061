"""The real page on a real Redis, run without a browser."""

from __future__ import annotations

import json
import re

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from linewatch.board.store import Board
from streamlit_app.markup import FOLDER
from tests.support.board_facts import CALL, end, gap, score, start
from tests.support.board_seed import seed, seed_health


@pytest.fixture(name="board")
def _board(redis_url, monkeypatch):
    """An empty board that the page under test reads."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("TENANT", raising=False)
    st.cache_resource.clear()
    board = Board.from_url(redis_url)
    yield board
    board.close()


@pytest.fixture(name="page")
def _page():
    return AppTest.from_file(FOLDER / "app.py", default_timeout=60)


def html(page):
    """What the page shows below its filters."""
    assert not page.exception
    return json.loads(page.get("bidi_component")[0].proto.json)["html"]


def calls(page):
    """The calls of the table, in order."""
    return re.findall(r'<tr data-key="([^"]+)"', html(page))


def tell(board, *facts):
    """Tell the board *facts*."""
    for fact in facts:
        board.put(fact)


def test_seeded_board_is_shown(board, page):
    """Thirty calls, their alerts and the pipeline's health stand on the page."""
    seed(board, 30)
    seed_health(board._client)

    shown = html(page.run())

    assert len(calls(page)) == 27
    for words in ("Live calls", "angry turns", "decoder-2", "0 replicas", "3 cold starts"):
        assert words in shown


def test_zero_score_reaches_page(board, page):
    """A last utterance scored exactly 0 is shown as 0.00."""
    tell(board, start(), score(0, 0.0))

    assert "</i>0.00<span" in html(page.run())


def test_filters_come_from_url(board, page):
    """The URL's filters decide what is shown, so a view can be shared."""
    tell(board, start(), score(0), start("call-2", line="line-8"), score(0, call="call-2"))
    page.query_params["text"] = "line-8"

    assert calls(page.run()) == ["call-2"]
    assert page.text_input(key="text").value == "line-8"


def test_state_filter_shows_ended(board, page):
    """Ended calls are a choice away."""
    tell(board, start(), score(0), end(utterances=1))
    assert calls(page.run()) == []

    page.button_group(key="state").set_value("ended")

    assert calls(page.run()) == [CALL]


def test_wrong_url_is_harmless(board, page):
    """A URL with values nobody offers shows the plain board."""
    tell(board, start(), score(0))
    for name, value in (("sort", "x"), ("call", ".."), ("level", "?"), ("state", "<b>")):
        page.query_params[name] = value

    assert calls(page.run()) == [CALL]
    assert "Call detail" not in html(page)


def test_detail_opens_from_url(board, page):
    """A call named in the URL is open: both speakers, its gap, its reasons."""
    tell(board, start(), score(0, text="i want a refund"), gap(4000, 9000))
    page.query_params["call"] = CALL

    shown = html(page.run())

    assert f'data-call="{CALL}"' in shown
    assert "00:05 not heard: lost on the way" in shown
    assert "keyword-refund" in shown


def test_pause_freezes_board(board, page, monkeypatch):
    """A paused page names its moment, shows nothing newer, and goes on when resumed."""
    tell(board, start(), score(0))
    page.run()
    page.toggle(key="paused").set_value(True).run()
    frozen = html(page)
    assert re.search(r"paused at \d\d:\d\d:\d\d", frozen)

    tell(board, score(1, text="later words"))
    st.cache_resource.clear()
    assert html(page.run()) == frozen

    page.toggle(key="paused").set_value(False).run()
    assert "later words" in html(page)


def test_paused_detail_stops_too(board, page):
    """A call opened while the board is paused tells nothing said after the pause."""
    tell(board, start(), score(0, text="early words"))
    page.run()
    page.toggle(key="paused").set_value(True).run()
    late_ms = page.session_state["frozen"].snapshot.taken_at_ms
    tell(board, score(1, text="late words", at_ms=late_ms))
    page.query_params["call"] = CALL

    shown = html(page.run())

    assert "early words" in shown
    assert "late words" not in shown


def test_away_store_is_told(board, page, monkeypatch):
    """Without a store the page says what it waits for, and shows no traceback."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    page.run()

    assert not page.exception
    assert "Waiting for the board" in page.info[0].value


@pytest.mark.parametrize(("name", "value"), [("REDIS_URL", "nonsense"), ("TENANT", "a b")])
def test_wrong_setting_is_named(board, page, monkeypatch, name, value):
    """A wrong setting is named in one clear line instead of a board."""
    monkeypatch.setenv(name, value)

    page.run()

    assert not page.exception
    assert page.error[0].value.startswith(f"{name}: ")


def test_tenants_see_their_own(board, page, monkeypatch):
    """A tenant's page shows that tenant's calls only, and its name."""
    tell(board, start(), score(0), start("theirs", tenant="acme"))
    monkeypatch.setenv("TENANT", "acme")

    assert calls(page.run()) == ["theirs"]
