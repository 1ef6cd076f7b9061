"""The supervisor's page: filters above, the board below, one read a second.

``python -m streamlit_app``. It only reads: stopping it changes nothing
but itself, and everything a viewer chose stands in the URL.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from linewatch import settings
from linewatch.board.rows import CallDetail, Snapshot
from linewatch.board.store import Board
from linewatch.errors import BadName, SettingsError
from linewatch.names import checked_call
from streamlit_app import pipeline, story, strip, view
from streamlit_app.feed import Feed
from streamlit_app.markup import FOLDER, Page, render
from streamlit_app.settings import DashboardSettings

TICK_S: Final = 1.0
_KEY: Final = "board"
#: Streamlit writes an option's label into the URL: so the labels are the values.
_LEVELS: Final = ("any", "watch", "help")
_STATES: Final = ("live", "ended", "both")
_WAITING: Final = "Waiting for the board's store. Is Redis running, and REDIS_URL right?"


@dataclass(slots=True)
class Frozen:
    """The board at the moment somebody paused it, and the calls looked at since."""

    snapshot: Snapshot
    warnings: tuple[str, ...]
    details: dict[str, CallDetail | None] = field(default_factory=dict)


@st.cache_resource(show_spinner=False)
def _feed(redis_url: str, tenant: str) -> Feed:
    board = Board.from_url(redis_url)
    board.check(writes=False)
    return Feed(board, tenant)


@st.cache_resource(show_spinner=False)
def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _zone() -> tzinfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _picked(name: str) -> Callable[[], None]:
    """Make the callback that keeps what was clicked in the URL."""

    def keep() -> None:
        value = st.session_state[_KEY].get(name)
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)

    return keep


def _chosen() -> str:
    """Return the call whose detail is open; a URL that names none opens none."""
    try:
        return checked_call(st.query_params.get("call"))
    except BadName:
        return ""


def _filters() -> view.Filters:
    wanted = st.query_params.get("sort", "")
    return view.Filters(
        text=st.session_state.get("text") or "",
        level=st.session_state.get("level") or "any",
        state=st.session_state.get("state") or "live",
        sort=view.Sort(wanted) if wanted in set(view.Sort) else view.Sort.WORST,
        chosen=_chosen(),
    )


def _freeze(feed: Feed) -> None:
    """Keep the moment the viewer paused at, with the call that was open."""
    reading, chosen = feed.read(), _chosen()
    st.session_state.pop("frozen", None)
    if st.session_state["paused"] and reading.snapshot:
        details = {chosen: feed.detail(chosen)} if chosen else {}
        doubts = strip.warnings(reading.snapshot, reading.stuck_s)
        st.session_state["frozen"] = Frozen(reading.snapshot, doubts, details)


def _detail(feed: Feed, chosen: str, frozen: Frozen | None) -> CallDetail | None:
    if not chosen or frozen is None:
        return feed.detail(chosen) if chosen else None
    if chosen not in frozen.details:
        rows = {row.call: row for row in frozen.snapshot.rows}
        found = feed.detail(chosen) if chosen in rows else None
        at_ms = frozen.snapshot.taken_at_ms
        frozen.details[chosen] = story.until(found, rows[chosen], at_ms) if found else None
    return frozen.details[chosen]


def _page(feed: Feed, filters: view.Filters) -> Page | None:
    frozen: Frozen | None = st.session_state.get("frozen")
    reading = feed.read()
    snapshot = frozen.snapshot if frozen else reading.snapshot
    if snapshot is None:
        return None
    now_ms, health = snapshot.taken_at_ms, snapshot.health
    detail = _detail(feed, filters.chosen, frozen)
    return Page(
        filters=filters,
        age_s=reading.age_s,
        behind=strip.behind(snapshot),
        paused_at=view.time_of_day(now_ms, _zone()) if frozen else "",
        warnings=frozen.warnings if frozen else strip.warnings(snapshot, reading.stuck_s),
        kpis=strip.kpis(snapshot),
        rows=view.table(snapshot, filters),
        known_rows=len(snapshot.rows),
        unreadable=snapshot.unreadable,
        alerts=view.alert_queue(snapshot, filters.chosen),
        story=story.tell(detail, now_ms) if detail else None,
        functions=pipeline.functions(health),
        decoders=pipeline.decoders(health),
        delivery=pipeline.delivery(health),
    )


def _toolbar(feed: Feed, tenant: str) -> None:
    whose = "" if tenant == "default" else f" <small>{tenant}</small>"
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        st.html(f"<h1 class='brand'>Linewatch{whose}</h1>", width="content")
        st.text_input(
            "Find",
            key="text",
            placeholder="Find a line, agent, queue or word",
            label_visibility="collapsed",
            type="search",
            live=True,
            bind="query-params",
            width=300,
        )
        for key, label, options in (("level", "Severity", _LEVELS), ("state", "State", _STATES)):
            st.segmented_control(
                label,
                options,
                default=options[0],
                required=True,
                key=key,
                label_visibility="collapsed",
                bind="query-params",
            )
        st.toggle("Pause", key="paused", on_change=_freeze, args=(feed,))


def _show(feed: Feed) -> None:
    """Draw the board; a fragment runs it every second until somebody pauses."""
    page = _page(feed, _filters())
    if page is None:
        st.info(_WAITING)
        return
    board = st.components.v2.component(
        "linewatch.board",
        html='<div class="lw"></div>',
        css=_text("board.css"),
        js=_text("board.js"),
        isolate_styles=False,
    )
    board(
        key=_KEY,
        data={"html": render(page)},
        on_call_change=_picked("call"),
        on_sort_change=_picked("sort"),
    )


def main() -> None:
    """Draw the page."""
    st.set_page_config(page_title="Linewatch", page_icon="☎", layout="wide")
    try:
        wanted = settings.load(DashboardSettings, os.environ)
        feed = _feed(wanted.redis_url, wanted.tenant)
    except SettingsError as error:
        st.error(error.detail)
        return
    _toolbar(feed, wanted.tenant)
    st.fragment(_show, run_every=None if st.session_state.get("frozen") else TICK_S)(feed)


main()
