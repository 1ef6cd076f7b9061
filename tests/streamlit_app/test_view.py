"""The page's values: what a supervisor reads, from what the board holds."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Channel, Severity
from streamlit_app import view
from streamlit_app.names import LABEL_CHARS
from streamlit_app.view import Filters, Level, Sort
from tests.support.board_views import NOW_MS, STARTED_AT_MS, alert, row, snapshot


def shown(*rows, **filters):
    """The calls the table shows, in order."""
    return [each.call for each in view.table(snapshot(*rows), Filters(**filters))]


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "00:00"), (61_999, "01:01"), (3_600_000, "1:00:00"), (-5, "00:00")],
)
def test_durations_read_as_clocks(ms, words):
    """A duration is minutes and seconds, with hours from an hour on."""
    assert words == view.clock(ms)


@pytest.mark.parametrize(
    ("ms", "words"), [(900, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h")]
)
def test_ages_use_one_unit(ms, words):
    """An age is said in the unit a person would use."""
    assert words == view.ago(ms)


def test_time_follows_viewer_zone():
    """A moment is shown by the wall clock of whoever looks."""
    assert view.time_of_day(NOW_MS, UTC) == "22:23:20"
    assert view.time_of_day(NOW_MS, ZoneInfo("Asia/Kolkata")) == "03:53:20"


def test_zero_score_is_shown():
    """A score of exactly 0 is shown as 0 and called neutral, not taken for none."""
    tone = view.row_view(row(polarity=0.0), NOW_MS, "").tone

    assert (tone.number, tone.words, tone.glyph) == ("0.00", "neutral", "■")


def test_missing_score_is_dash():
    """A call without a score shows a dash and says why."""
    tone = view.row_view(row(polarity=None), NOW_MS, "").tone

    assert (tone.number, tone.words) == (view.NONE, "not scored yet")


@pytest.mark.parametrize(
    ("polarity", "number", "words"),
    [
        (-1.0, "−1.00", "very negative"),  # noqa: RUF001 - as shown
        (-0.3, "−0.30", "negative"),  # noqa: RUF001 - as shown
        (-0.001, "0.00", "neutral"),
        (0.3, "+0.30", "positive"),
        (0.5, "+0.50", "very positive"),
    ],
)
def test_tone_speaks_without_colour(polarity, number, words):
    """Every polarity has a signed number and words beside its colour."""
    tone = view.tone(polarity)

    assert (number, words) == (tone.number, tone.words)


@given(st.floats(-1, 1))
def test_glyph_and_words_agree(polarity):
    """Whoever sees no colour learns as much: glyph, words and colour name pair up."""
    tone = view.tone(polarity)

    pairs = {"▼▼": "neg2", "▼": "neg1", "■": "mid", "▲": "pos1", "▲▲": "pos2"}
    assert pairs[tone.glyph] == tone.name
    assert tone.number[0] in "+−0"  # noqa: RUF001 - as shown


@pytest.mark.parametrize(
    ("help_score", "ended_at_ms", "level"),
    [
        (view.WATCH_FROM - 1, None, Level.FINE),
        (view.WATCH_FROM, None, Level.WATCH),
        (view.HELP_FROM, None, Level.HELP),
        (100.0, NOW_MS, Level.FINE),
    ],
)
def test_level_bins_help_score(help_score, ended_at_ms, level):
    """Only the worst live calls are marked; an ended one cannot be helped."""
    assert level is view.level_of(row(help_score=help_score, ended_at_ms=ended_at_ms))


@pytest.mark.parametrize(
    ("changes", "quiet", "is_quiet"),
    [
        ({}, "now", False),
        ({"last_end_ms": 585_000}, "00:15", False),
        ({"last_end_ms": 540_000}, "01:00", True),
        ({"utterances": 0, "last_end_ms": 0}, "10:00", True),
        ({"ended_at_ms": NOW_MS}, view.NONE, False),
    ],
)
def test_silence_runs_live(changes, quiet, is_quiet):
    """A live call says how long nobody has spoken, an ended one does not."""
    found = view.row_view(row(**changes), NOW_MS, "")

    assert (quiet, is_quiet) == (found.quiet, found.is_quiet)


def test_ended_duration_stands_still():
    """An ended call shows how long it lasted, whatever the time is now."""
    ended = row(ended_at_ms=STARTED_AT_MS + 90_000)

    assert view.row_view(ended, NOW_MS, "").duration == "01:30"


def test_spark_has_every_value():
    """A sparkline runs left to right, one point a value, and keeps the newest 15."""
    points = view.spark(tuple(place / 20 for place in range(20))).split()
    across = [float(point.split(",")[0]) for point in points]

    assert len(points) == view.SPARK_POINTS
    assert across == sorted(across)
    assert view.spark(()) == ""
    assert len(view.spark((0.0,)).split()) == 2


@given(st.lists(st.floats(-1, 1), max_size=40))
def test_spark_stays_inside(trend):
    """No value leaves the drawing, and a lower polarity is never drawn higher."""
    for point in view.spark(tuple(trend)).split():
        across, down = map(float, point.split(","))
        assert 0 <= across <= view.SPARK_WIDTH
        assert 1 <= down <= view.SPARK_HEIGHT - 1
    assert view.height_of(-0.5, 18) > view.height_of(0.0, 18) > view.height_of(0.5, 18)


def test_trend_falls_back_to_agent():
    """Before the customer spoke, the trend is the agent's, and it is told in words too."""
    found = view.row_view(row(customer_trend=(), agent_trend=(0.3, -0.3)), NOW_MS, "")

    assert found.trend_words == "from positive to negative"
    assert view.trend_words(()) == "no trend yet"


def test_worst_call_comes_first():
    """The table begins with who needs help most; of equals, with who waits longest."""
    rows = (
        row("ended", help_score=99, ended_at_ms=NOW_MS),
        row("fine", help_score=5),
        row("new", help_score=80, started_at_ms=NOW_MS - 1000),
        row("old", help_score=80),
    )

    assert shown(*rows, state="both") == ["old", "new", "fine", "ended"]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        (Sort.LINE, "b"),
        (Sort.WHO, "c"),
        (Sort.TIME, "b"),
        (Sort.QUIET, "b"),
        (Sort.QUALITY, "a"),
    ],
)
def test_table_sorts_by_column(sort, first):
    """Each sortable column puts its most telling call first."""
    rows = (
        row("a", line="line-2", polarity=-0.4, queue="sales", started_at_ms=NOW_MS - 600_001),
        row("b", line="line-1", polarity=None, queue="sales", started_at_ms=NOW_MS - 700_000),
        row("c", line="line-3", polarity=0.0, queue="billing", started_at_ms=NOW_MS - 600_000),
    )

    assert first == shown(*rows, sort=sort)[0]


@pytest.mark.parametrize(
    ("filters", "calls"),
    [
        ({}, ["bad", "fine"]),
        ({"state": "ended"}, ["over"]),
        ({"state": "both"}, ["bad", "fine", "over"]),
        ({"level": "help"}, ["bad"]),
        ({"level": "watch", "state": "both"}, ["bad"]),
        ({"text": " REFUND "}, ["bad"]),
        ({"text": "ana", "state": "both"}, ["bad", "fine", "over"]),
        ({"text": "nowhere"}, []),
    ],
)
def test_filters_narrow_the_table(filters, calls):
    """Text, severity and state narrow what is shown, together."""
    rows = (
        row("bad", help_score=90, last_text="i want a refund"),
        row("fine"),
        row("over", ended_at_ms=NOW_MS),
    )

    assert calls == shown(*rows, **filters)


def test_long_labels_are_cut_apart():
    """Long lines, agents and queues are cut, still differ, and stand whole beside it."""
    site = "support-desk-north-frankfurt"
    rows = [row(f"call-{at}", line=f"{site}-{at}", agent=f"{site}-{at}") for at in range(3)]
    found = view.table(snapshot(*rows), Filters())

    assert len({each.line for each in found}) == len({each.agent for each in found}) == 3
    assert all(len(each.line) <= LABEL_CHARS for each in found)
    whole_agent = f"\u2068{site}-2\u2069 · \u2068billing\u2069"
    assert (found[2].whole_line, found[2].whole_agent) == (f"{site}-2", whole_agent)


def test_calls_of_one_line_differ():
    """Rows and alerts of two calls on one line also show what of their ids differs."""
    board = snapshot(row("call-1"), row("call-2"), alerts=[alert("call-1"), alert("call-2")])

    assert {each.hint for each in view.table(board, Filters())} == {"call-1", "call-2"}
    assert {each.hint for each in view.alert_queue(board, "")} == {"call-1", "call-2"}
    assert view.table(snapshot(row()), Filters())[0].hint == ""


def test_choice_follows_the_call():
    """The chosen row is the one of the chosen call, wherever it stands."""
    rows = (row("a", help_score=90), row("b", help_score=1))
    for order in (rows, rows[::-1]):
        found = view.table(snapshot(*order), Filters(chosen="b"))
        assert [each.call for each in found if each.chosen] == ["b"]


def test_row_names_speaker_and_scorer():
    """A row tells who spoke last, about what, and who scored it."""
    found = view.row_view(row(nouns=("bill", "refund"), last_channel=Channel.AGENT), NOW_MS, "")

    assert (found.last_channel, found.nouns) == ("agent", "bill, refund")
    assert found.consumer == "sentiment"
    assert view.row_view(row(consumer="", agent="", line=""), NOW_MS, "").line == "call-1"


def test_alerts_queue_by_urgency():
    """Live calls come first, then the most severe, then who has waited longest."""
    rows = (row("live"), row("over", ended_at_ms=NOW_MS))
    alerts = (
        alert("over", severity=Severity.CRITICAL),
        alert("live", rule="new", severity=Severity.WARNING, raised_at_ms=NOW_MS - 1000),
        alert("live", rule="old", severity=Severity.WARNING, raised_at_ms=NOW_MS - 90_000),
        alert("live", rule="bad", severity=Severity.CRITICAL, raised_at_ms=NOW_MS),
    )

    queue = view.alert_queue(snapshot(*rows, alerts=alerts), "live")

    assert [each.rule for each in queue] == ["bad", "old", "new", "keyword"]
    assert [each.age for each in queue] == ["0 s", "90 s", "1 s", "60 s"]
    assert [each.ended for each in queue] == [False, False, False, True]
    assert [each.chosen for each in queue] == [True, True, True, False]


def test_quiet_is_no_matter_of_clocks():
    """A sender whose clock is 10 minutes off makes its calls neither quiet nor anything else."""
    exact = row(last_end_ms=590_000)
    for off_ms in (600_000, -600_000):
        behind = row(
            started_at_ms=exact.started_at_ms - off_ms, last_end_ms=590_000, late_ms=off_ms
        )
        assert view.quiet_ms(behind, NOW_MS) == view.quiet_ms(exact, NOW_MS)
