"""The figures above the table, and what makes the whole board doubtful."""

from __future__ import annotations

from dataclasses import replace

from linewatch.board.rows import Health
from streamlit_app import strip, view
from tests.support.board_views import HEALTH, NOW_MS, row, snapshot


def test_kpis_sum_up_live_calls():
    """The strip counts live calls only, and names the longest one."""
    rows = (
        row("a", help_score=90, polarity=-0.5),
        row("b", help_score=40, polarity=0.0, started_at_ms=NOW_MS - 700_000, line="line-9"),
        row("c", help_score=90, polarity=1.0, ended_at_ms=NOW_MS),
        row("d", polarity=None, utterances=0, last_end_ms=0),
    )
    shown = {each.label: each for each in strip.kpis(snapshot(*rows))}

    assert shown["Live calls"].value == "3"
    assert shown["Live calls"].note == "1 talking, 2 quiet"
    assert (shown["Needing help"].value, shown["Needing help"].note) == ("1", "1 to watch")
    assert shown["Mean sentiment"].value == "▼ −0.25"  # noqa: RUF001 - as shown
    assert shown["Longest call"].value == "11:40"
    assert shown["Longest call"].note == "\u2068line-9\u2069 · \u2068Ana\u2069"
    assert shown["Newest event"].value == "just now"


def test_empty_board_has_kpis():
    """A board without calls shows zeros and dashes, not errors."""
    values = [each.value for each in strip.kpis(snapshot(newest_at_ms=None))]

    assert values == ["0", "0", view.NONE, view.NONE, view.NONE]


def test_event_age_counts_waiting():
    """The newest event's age stands beside how many are on their way."""
    health = Health(lag={"scores": 1200, "calls": 3}, outbox=4)
    newest = strip.kpis(snapshot(health=health, newest_at_ms=NOW_MS - 9000))[-1]

    assert (newest.value, newest.note) == ("9 s ago", "1,207 waiting")


def test_oldest_event_is_told():
    """The page says how old the oldest waiting event is, and warns from 10 s on."""
    fresh, late = (
        snapshot(row(), health=replace(HEALTH, outbox=1, oldest_at_ms={"outbox": NOW_MS - ms}))
        for ms in (9999, 10_000)
    )

    assert strip.kpis(fresh)[-1].note == "1 waiting, oldest 9 s"
    assert (strip.behind(fresh), strip.warnings(fresh, 0)) == ("", ())
    assert strip.behind(late) == "the oldest of 1 waiting is 10 s old (outbox)"
    assert strip.warnings(late, 0) == (f"Behind: {strip.behind(late)}: the board shows the past.",)


def test_oldest_source_is_named():
    """Of several sources the one that is furthest behind is named."""
    written = {"sentiment": NOW_MS - 20_000, "board-calls": NOW_MS - 240_000}
    health = replace(HEALTH, lag={"sentiment": 3, "board-calls": 1997}, oldest_at_ms=written)

    words = strip.behind(snapshot(row(), health=health))
    assert words == "the oldest of 2,000 waiting is 4 min old (board-calls)"


def test_stuck_board_says_stale():
    """Events that wait while none arrives make the board stale after 5 s, not before."""
    board = snapshot(row(), health=Health(decoders=HEALTH.decoders, outbox=7))

    assert strip.warnings(board, 4.9) == ()
    assert strip.warnings(board, 5.0) == ("Stale: 7 events wait and none arrived for 5 s.",)
    assert "none arrived for 65 min" in strip.warnings(board, 3_918.0)[0]


def test_longest_call_is_cut_apart():
    """The longest call has the same short name as in the table of live calls."""
    lines = [f"support-desk-north-frankfurt-{number}" for number in (1, 2)]
    live = [row(line, line=line, agent="") for line in lines]
    over = row("over", line="support-desk-north-frankfurt-1", ended_at_ms=NOW_MS)
    notes = {each.label: each.note for each in strip.kpis(snapshot(*live, over))}

    name = view.table(snapshot(*live), view.Filters())[0].line
    assert notes["Longest call"] == f"\u2068{name}\u2069"


def test_dead_decoders_are_told():
    """Live calls without a decoder are told; a quiet night without calls is not."""
    assert "No decoder is alive" in strip.warnings(snapshot(row(), health=Health()), 0)[0]
    assert strip.warnings(snapshot(health=Health()), 0) == ()


def test_full_store_is_told():
    """From 80 % on the page says that new calls are refused."""
    assert strip.warnings(snapshot(health=Health(store_used_pct=79.9)), 0) == ()
    (words,) = strip.warnings(snapshot(health=Health(store_used_pct=80.0)), 0)
    assert words == "The store is 80 % full: new calls are refused."
