"""The detail panel: a call's transcript, curve and reasons."""

from __future__ import annotations

import pytest

from linewatch.board.rows import Unheard
from linewatch.calls import Channel, GapReason
from streamlit_app import story
from tests.support.board_views import NOW_MS, STARTED_AT_MS, alert, detail, row, said

AGENT, CUSTOMER, MIXED = Channel.AGENT, Channel.CUSTOMER, Channel.MIXED


def kinds(told, now_ms=NOW_MS):
    """The kinds of the transcript's entries, in order."""
    return [each.kind for each in story.entries(told, now_ms)]


def test_speakers_stand_in_order():
    """Both speakers' utterances are told by the time they began."""
    told = detail(said(9000, "later"), said(1000, "first", channel=AGENT))

    entries = story.entries(told, NOW_MS)

    assert [(each.who, each.at, each.text) for each in entries] == [
        ("Agent", "00:01", "first"),
        ("Customer", "00:09", "later"),
    ]


def test_zero_is_scored_in_transcript():
    """An utterance scored 0 shows it, one not scored yet shows a dash."""
    zero, none = story.entries(detail(said(1000, polarity=0.0), said(4000, polarity=None)), NOW_MS)

    assert (zero.tone.number, none.tone.words) == ("0.00", "not scored yet")


def test_gap_stands_as_gap():
    """What was not heard stands where it was missing, with its length and reason."""
    gap = Unheard(CUSTOMER, 3000, 6500, GapReason.LOST)
    entries = story.entries(detail(said(1000), said(7000), unheard=[gap]), NOW_MS)

    assert [each.kind for each in entries] == ["said", "gap", "said"]
    assert entries[1].text == "00:03 not heard: lost on the way"


@pytest.mark.parametrize("reason", GapReason)
def test_every_gap_has_words(reason):
    """No reason for a gap is left without words."""
    (entry,) = story.entries(detail(unheard=[Unheard(AGENT, 0, 600_000, reason)]), NOW_MS)

    assert entry.text.startswith("10:00 not heard: ")
    assert len(entry.text) > len("10:00 not heard: ")


def test_silence_between_is_told():
    """Ten seconds without words of either side stand as a silence; a gap is none."""
    heard = said(1000), said(13_000, channel=AGENT)

    assert kinds(detail(*heard)) == ["said", "silence", "said"]
    unheard = [Unheard(CUSTOMER, 3000, 13_000, GapReason.PAUSED)]
    assert kinds(detail(*heard, unheard=unheard)) == ["said", "gap", "said"]


def test_running_silence_ends_transcript():
    """A silence that goes on is told at the end, until somebody speaks again."""
    quiet = detail(said(1000), last_end_ms=3000)
    talking = detail(said(1000), last_end_ms=3000, partials={CUSTOMER: "and then"})

    assert story.entries(quiet, NOW_MS)[-1].text == "09:57 silence"
    assert kinds(talking) == ["said", "partial"]


def test_partial_words_come_last():
    """The words being said now follow the finals, by speaker; empty ones are left out."""
    partials = {CUSTOMER: "i want", AGENT: "", MIXED: "both"}
    entries = story.entries(detail(said(590_000), partials=partials), NOW_MS)

    assert [(each.kind, each.who, each.text) for each in entries[-2:]] == [
        ("partial", "Customer", "i want"),
        ("partial", "Caller and agent", "both"),
    ]
    assert len({each.key for each in entries}) == len(entries)


def test_further_parties_have_names():
    """A further party is shown by its own name, in the drawing that all of them share."""
    second, partials = Channel("agent-2"), {Channel("ivr"): "press one"}
    told = detail(said(1000, channel=second), partials=partials, talk_ms={second: 2000})
    shown = story.tell(told, NOW_MS)

    assert [(each.who, each.channel) for each in shown.entries[-2:]] == [
        ("Agent 2", "further"),
        ("IVR", "further"),
    ]
    assert [(each.who, each.percent) for each in shown.shares] == [("Agent 2", 100)]
    assert [each.channel for each in shown.curves] == ["further"]


def test_ended_call_falls_silent():
    """After its end a call has no running silence."""
    assert kinds(detail(said(1000), ended_at_ms=NOW_MS, last_end_ms=3000)) == ["said"]


def test_curve_spans_the_call():
    """Each speaker's curve has one point a score, at its time of the whole call."""
    told = detail(
        said(298_000, polarity=0.0),
        said(598_000, polarity=-0.75),
        said(100_000, polarity=None),
        said(100_000, polarity=0.5, channel=AGENT),
    )
    agent, customer = story.tell(told, NOW_MS).curves

    assert (agent.channel, customer.channel) == ("agent", "customer")
    assert customer.points == "200,32 400,63"


def test_holes_mark_the_curve():
    """A gap is marked under the curve where and as long as it was."""
    gap = Unheard(CUSTOMER, 300_000, 330_000, GapReason.LOST)

    assert story.tell(detail(unheard=[gap]), NOW_MS).holes == ((200.0, 20.0),)


def test_story_sums_up_call():
    """Talk shares, silence, counts and matched rules stand with the transcript."""
    told = story.tell(detail(alerts=[alert()], utterances=1, gaps=3), NOW_MS)

    assert [(each.who, each.percent) for each in told.shares] == [("Agent", 75), ("Customer", 25)]
    assert (told.longest_silence, told.utterances, told.gaps) == ("00:12", "1 utterance", "3 gaps")
    assert [(each.rule, each.reason) for each in told.alerts] == [("keyword", "wants a refund")]


def test_silent_call_has_no_shares():
    """A call in which nobody spoke divides nothing by zero."""
    told = story.tell(detail(talk_ms={AGENT: 0}, utterances=0), NOW_MS)

    assert (told.shares, told.curves) == ((), ())


def test_pause_hides_later_words():
    """A call opened on a paused board is told as it stood when the board was paused."""
    gaps = [Unheard(AGENT, 0, 900, GapReason.LOST), Unheard(AGENT, 0, 30_000, GapReason.LOST)]
    alerts = [alert(raised_at_ms=STARTED_AT_MS), alert(raised_at_ms=NOW_MS)]
    told = detail(
        said(1000, "before"),
        said(20_000, "after"),
        unheard=gaps,
        alerts=alerts,
        partials={CUSTOMER: "now"},
    )
    shown = row(utterances=1)

    then = story.until(told, shown, STARTED_AT_MS + 10_000)

    assert [each.text for each in then.said] == ["before"]
    assert (then.row, then.unheard, then.alerts) == (shown, tuple(gaps[:1]), tuple(alerts[:1]))
    assert then.partials == {}


def test_story_says_who_had_it():
    """Who had the call before stands beside who has it now."""
    told = story.tell(detail(agent="Bob", agents_before=("Ann", "Cleo")), NOW_MS)
    assert (told.row.agent, told.before) == ("Bob", ("Ann", "Cleo"))


@pytest.mark.parametrize(
    ("off_ms", "said"),
    [(0, ""), (600_000, "sender's clock 10 min ahead"), (-7_200_000, "sender's clock 2 h behind")],
)
def test_wrong_clock_is_noted(off_ms, said):
    """A call whose start was put right says by how much its sender's clock was off."""
    told = story.tell(detail(clock_off_ms=off_ms), NOW_MS)
    assert told.clock_note.partition(":")[0] == said
