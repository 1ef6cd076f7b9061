"""The page's HTML: complete, inert whatever callers say, readable by everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from linewatch.board.rows import Unheard
from linewatch.calls import Channel, GapReason, Severity
from streamlit_app import pipeline, story, strip, view
from streamlit_app.markup import FOLDER, Page, render
from tests.support.board_views import HEALTH, NOW_MS, alert, detail, row, said, snapshot

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>' onclick='x"
CSS = (FOLDER / "board.css").read_text(encoding="utf-8")


class Seen(HTMLParser):
    """Every tag and attribute name of a page, its text, and tags left open."""

    VOID = frozenset({"path", "polyline", "rect"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.names, self.words, self.open = set(), set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note a tag that closes itself."""
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        """Close the tag that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Note text."""
        self.words.append(data)


def page(*rows, alerts=(), told=None, **changes):
    """A page that shows *rows*."""
    board = snapshot(*rows, alerts=alerts)
    filters = view.Filters(chosen=told.row.call if told else "")
    values = {
        "filters": filters,
        "age_s": 0.2,
        "behind": "",
        "unreadable": (),
        "paused_at": "",
        "warnings": (),
        "kpis": strip.kpis(board),
        "rows": view.table(board, filters),
        "known_rows": len(rows),
        "alerts": view.alert_queue(board, filters.chosen),
        "story": story.tell(told, NOW_MS) if told else None,
        "functions": pipeline.functions(HEALTH),
        "decoders": pipeline.decoders(HEALTH),
        "delivery": pipeline.delivery(HEALTH),
    }
    return render(Page(**values | changes))


def luminance(colour):
    """The relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """The contrast ratio of two colours (WCAG 2), 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colour(name):
    """The stylesheet's colour called *name*."""
    return re.search(rf"--{name}: (#[0-9a-f]{{6}})", CSS)[1]


def test_page_is_well_formed():
    """Every tag is closed, and the table has a caption and headed columns and rows."""
    gap = Unheard(Channel.AGENT, 5000, 9000, GapReason.LOST)
    told = detail(said(1000), unheard=[gap], alerts=[alert()], partials={Channel.AGENT: "well"})
    seen = Seen(page(row(), alerts=[alert()], told=told))

    assert seen.open == []
    assert {"table", "caption", "th", "aside", "footer"} <= seen.tags
    assert {"scope", "aria-label", "aria-current"} <= seen.names


def test_words_of_calls_are_inert():
    """Whatever callers say or are called arrives as text, never as markup."""
    evil = {
        "line": EVIL,
        "agent": EVIL,
        "queue": EVIL,
        "why": EVIL,
        "last_text": EVIL,
        "nouns": (EVIL,),
        "consumer": EVIL,
    }
    alerts = [alert(reason=EVIL, rule=EVIL, line=EVIL)]
    told = detail(said(1000, EVIL), alerts=alerts, partials={Channel.AGENT: EVIL}, **evil)
    seen = Seen(page(row(**evil), alerts=alerts, told=told))
    plain = Seen(page(row(), alerts=[alert()], told=replace(told, row=row())))

    assert not {"img", "script"} & seen.tags
    assert not [name for name in seen.names if name.startswith("on")]
    assert seen.names == plain.names
    assert "<script>alert(1)</script>" in "".join(seen.words)


def test_rows_are_keyed_by_call():
    """A row's node is named by its call, so that it stays itself wherever it moves."""
    html = page(row("call-1"), row("call-2"))

    assert re.findall(r'<tr data-key="([^"]+)"', html) == ["call-1", "call-2"]


def test_hint_is_printed():
    """Where two calls have one line, row and alert print what of the call's id differs."""
    html = page(row("call-1"), row("call-2"), alerts=[alert("call-1"), alert("call-2")])

    assert html.count("<bdi>line-7</bdi> <small><bdi>call-1</bdi></small>") == 2
    assert html.count("<bdi>line-7</bdi> <small><bdi>call-2</bdi></small>") == 2


def test_zero_is_printed():
    """A quality of exactly 0 stands in the table with its words."""
    words = " ".join("".join(Seen(page(row(polarity=0.0))).words).split())

    assert "■0.00 neutral" in words


def test_colour_is_never_alone():
    """What a tint says, hidden words and a glyph say too."""
    words = "".join(Seen(page(row(help_score=90, why="3 angry turns"))).words)

    assert "!!needs help: 3 angry turns" in words


def test_stale_board_says_so():
    """From 5 s on the page says that it is stale; before that the banner is hidden."""
    assert re.search(r"data-old hidden", page(row(), age_s=4.9))
    html = page(row(), age_s=5.0)
    assert "hidden" not in re.search(r"<p [^>]*data-old[^>]*>", html)[0]
    assert "Stale: what you see is" in html


def test_newer_rows_are_grey_lines():
    """What newer code wrote is one line each, escaped, beside the rows that can be read."""
    html = page(row("call-1"), unreadable=("call-2", "call-1|keyword", EVIL))
    assert html.count('class="unreadable"') == 3
    assert "call-1 · keyword" in html
    assert html.count("written by a newer version") == 3
    assert "<script>" not in html


def test_board_behind_is_not_fresh():
    """A board that is behind says so in the place where it else says how fresh it is."""
    html = page(row(), behind="the oldest of 2,000 waiting is 4 min old (board-calls)")
    assert "⚠ the oldest of 2,000 waiting is 4 min old (board-calls)" in html
    assert "less than 2 s" not in html.partition('class="banners"')[0]


def test_paused_page_has_no_clock():
    """A paused page names its moment and carries nothing that counts on."""
    html = page(row(), paused_at="14:03:22")

    assert "paused at 14:03:22" in html
    assert "data-age" not in html
    assert "data-old" not in html


@pytest.mark.parametrize(
    ("rows", "known", "words"), [((), 0, "No calls yet"), ((), 3, "No call matches the filters")]
)
def test_empty_table_explains_itself(rows, known, words):
    """An empty table says whether there are no calls or the filters hide them."""
    assert words in page(*rows, known_rows=known)


def test_lost_call_is_told():
    """A chosen call that left the board is said to be gone."""
    assert "no longer on the board" in page(filters=view.Filters(chosen="call-9"))


def test_template_knows_every_severity():
    """Each severity and level has a style of its own or the plain one, and a glyph."""
    alerts = [alert(rule=str(each), severity=each) for each in Severity]
    html = page(*(row(str(score), help_score=score) for score in (0, 40, 90)), alerts=alerts)

    assert {"critical", "warning", "notice"} <= set(re.findall(r'class="alert (\w+)', html))
    assert re.findall(r'data-value="\d+" class="(\w+)"', html) == ["help", "watch", "fine"]


@pytest.mark.parametrize(
    "name",
    ["ink", "soft", "neg2", "neg1", "mid", "pos1", "pos2", "agent", "customer", "mixed", "partial"],
)
@pytest.mark.parametrize("ground", ["paper", "desk", "help", "watch", "chosen"])
def test_text_contrast_is_enough(name, ground):
    """Every text colour is readable on every ground: 4.5 to 1 or more (WCAG AA)."""
    assert contrast(colour(name), colour(ground)) >= 4.5


def test_negative_and_positive_differ_in_blue():
    """Orange and purple differ in blue, which every common colour blindness keeps."""
    blues = {name: int(colour(name)[5:7], 16) for name in ("neg1", "neg2", "pos1", "pos2")}

    assert min(blues["pos1"], blues["pos2"]) - max(blues["neg1"], blues["neg2"]) > 100


def test_labels_are_isolated():
    """Every label stands isolated, so that its direction does not reach the text around it."""
    label = "\u05e9\u05dc\u05d5\u05dd <1>"
    names = {"line": label, "agent": label, "queue": label, "agents_before": (label,)}
    told = detail(said(1000), **names)
    html = page(row(**names), alerts=[alert(line=label)], told=told)
    escaped = label.replace("<", "&lt;").replace(">", "&gt;")
    found = html.count(escaped)
    isolated = html.count(f"<bdi>{escaped}</bdi>") + html.count(f"\u2068{escaped}\u2069")
    assert found == isolated > 8
    assert f"before: <bdi>{escaped}</bdi>" in html
