"""Long labels and call ids, cut so that no two calls of a list look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlit_app import names
from streamlit_app.names import LABEL_CHARS

LONG = "sip:support-desk-{}@pbx.north.example.org"


def many(pattern):
    """Twelve labels of one pattern."""
    return [pattern.format(f"{number:04}") for number in range(12)]


def test_short_labels_stay_whole():
    """A label that fits is shown as it is."""
    assert names.short(["line-7", "", "x" * LABEL_CHARS]) == {
        "line-7": "line-7",
        "": "",
        "x" * LABEL_CHARS: "x" * LABEL_CHARS,
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "{}" + 60 * "z",
        60 * "a" + "{}",
        40 * "a" + "{}" + 40 * "z",
        LONG,
        "line-0001-frankfurt-am-{}",
    ],
)
def test_labels_differ_in_few_characters(pattern):
    """Wherever labels differ, in front, within or at the end, they are cut and still differ."""
    shown = names.short(many(pattern))

    assert len({*shown.values()}) == 12
    assert max(map(len, shown.values())) <= LABEL_CHARS
    assert all("…" in each for each in shown.values())


def test_differences_in_two_places():
    """Labels that no cut tells apart are shown whole."""
    labels = [f"{40 * 'a'}{one}{20 * 'b'}{two}{40 * 'c'}" for one in "12" for two in "12"]

    assert names.short(labels) == {each: each for each in labels}


@given(st.lists(st.text(alphabet="ab …", max_size=60), max_size=12))
def test_no_two_labels_agree(labels):
    """However labels are, two that differ are shown differently, cut or whole."""
    shown = names.short(labels)

    assert shown.keys() == set(labels)
    assert len({*shown.values()}) == len(shown)
    assert all(text == label or len(text) <= LABEL_CHARS for label, text in shown.items())


def test_same_line_names_call():
    """Two calls of one line show what of their ids differs; a line's only call shows nothing."""
    found = names.of_calls(
        {
            "pbx-frankfurt-1700000000001": "line-1",
            "pbx-frankfurt-1700000000002": "line-1",
            "pbx-frankfurt-1700000000003": "line-2",
        }
    )

    assert [each.label for each in found.values()] == ["line-1", "line-1", "line-2"]
    assert [each.hint for each in found.values()] == ["pbx…00000001", "pbx…00000002", ""]


@pytest.mark.parametrize("other", ["Sales\u00a01", "Sales  1", " Sales 1", "Sa\u200cles 1"])
def test_unseen_differences_name_call(other):
    """Labels whose difference no eye can see count as the same line."""
    found = names.of_calls({"call-1": "Sales 1", "call-2": other})

    assert [each.hint for each in found.values()] == ["call-1", "call-2"]
