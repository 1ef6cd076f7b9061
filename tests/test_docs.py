"""The pages that people read: short, up to date, and every path in them exists."""

from __future__ import annotations

import re

import pytest

from infra import settings_page
from linewatch import errors
from tests.support.source import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("infra/**/*.md"))
)
#: What a page may name that is made later, by a command it gives.
MADE_LATER = {".venv/bin/python", "call.wav", "ca.crt"}
QUESTIONS = {
    "where is an utterance's end decided": (
        "docs/architecture.md",
        "decoder/recognition/session.py",
    ),
    "where is a call adopted": ("docs/architecture.md", "decoder/ownership/road.py"),
    "where would a new function go": ("docs/architecture.md", "functions/linewatch/NAME"),
    "which settings has the decoder": ("docs/settings.md", "VOSK_MODEL_PATH"),
    "what does 409 sequence-gap ask of me": ("docs/protocol.md", "409 `sequence-gap`"),
}


def anchors(page):
    """The anchors of a page's headings, as the hosting site makes them."""
    heads = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Every relative link of a page leads to a file, and to a heading where it names one."""
    here = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", (ROOT / page).read_text())
    for target, anchor in links:
        if "://" in target:
            continue
        file = (here / target).resolve() if target else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.relative_to(ROOT)), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    """Every path that a page names in backticks is in the repository."""
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", (ROOT / page).read_text())
    suffixes = (".py", ".sh", ".yaml", ".lua", ".md", ".json", ".toml", "/")
    roots = (ROOT, ROOT / "functions" / "linewatch")
    missing = [
        name
        for name in named
        if name.endswith(suffixes)
        and "NAME" not in name
        and name not in MADE_LATER
        and not any((root / name).exists() for root in roots)
    ]
    assert missing == []


def test_readme_is_short():
    """A first-time reader gets through the README in two minutes."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_settings_page_is_fresh():
    """The page of settings is what the code says."""
    assert settings_page.PAGE.read_text() == settings_page.page(), "run `make settings`"


@pytest.mark.parametrize("question", QUESTIONS)
def test_stranger_finds_the_answer(question):
    """A page that the README links to answers each of a stranger's questions."""
    page, answer = QUESTIONS[question]
    assert f"({page}" in (ROOT / "README.md").read_text()
    assert answer in (ROOT / page).read_text()


def test_made_targets_exist():
    """Every `make` target that a page names is one."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`| {4})make ([a-z-]+)", (ROOT / page).read_text())
    }
    assert named - known == set()


def kinds_of(kind):
    """An error and everything below it in the tree."""
    yield kind
    for each in kind.__subclasses__():
        yield from kinds_of(each)


def test_every_problem_is_explained():
    """The protocol's page says of every problem that a sender may get what it asks of it."""
    text = (ROOT / "docs" / "protocol.md").read_text()
    never_sent = {errors.LinewatchError, errors.SettingsError, errors.Conflict}
    never_sent |= {errors.SinkUnavailable, errors.Unprocessable, errors.TooLate}
    kinds = {kind for kind in kinds_of(errors.LinewatchError) if kind.__module__ == errors.__name__}
    names = {
        "bad-name" if kind is errors.BadName else kind("x").slug() for kind in kinds - never_sent
    }
    assert len(names) > 15
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
