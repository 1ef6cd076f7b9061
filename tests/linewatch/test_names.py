"""Names as phone systems have them are taken, what would act in a path or a terminal is not."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.errors import BadName
from linewatch.names import checked_call, checked_label, checked_name, encoded, printable

_CALLS = [
    "a84b4c76e66710@pc33.example.com",
    "+15550100000",
    "a/b/../c",
    "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
    "100% sure: yes|no",
    "sip:bob@10.0.0.1;tag=9fxced76sl",
    "...",
    "\u00e4\u00f6\u00fc",
    "x" * 256,
]


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}", fullmatch=True))
def test_plain_names_are_taken(name):
    """Letters, digits and . _ ~ - may name anything, up to 128 of them, and stand as they are."""
    assert checked_name("tenant", name) == checked_call(name) == encoded(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", ".a", "a/b", "a b", "a:b", "a|b", "\u00e4", "a\n", "a\0", "a" * 129, None, 7],
)
def test_other_names_are_refused(name):
    """A tenant, a stream, a consumer and a rule have plain names; the reason says which."""
    with pytest.raises(BadName, match="may not be used: use 1 to 128 letters"):
        checked_name("tenant", name)


def test_refusal_quotes_little():
    """A refused name is quoted short and escaped, so that an answer is small and harmless."""
    with pytest.raises(BadName) as caught:
        checked_label("line", "\u202e\x1b[2J" + "/" * 10_000)
    assert len(caught.value.detail) < 200
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("call", _CALLS)
def test_calls_are_taken_as_they_are(call):
    """An id as another system makes it is taken, and carried in characters that mean nothing."""
    assert checked_call(call) == call
    assert set(encoded(call)).isdisjoint("/|: {}@+")
    assert unquote(encoded(call)) == call


@pytest.mark.parametrize(
    "call",
    [
        *(
            "",
            " ",
            "\u00a0",
            "\u200b",
            ".",
            "..",
            "a\nb",
            "a\0",
            "\x7f",
            "\x85",
            "\ud800",
            "x" * 257,
        ),
        *("\u00e4" * 129, None, True, ["a"], float("inf")),
    ],
)
def test_other_calls_are_refused(call):
    """What is no text, cannot be seen, is too long or stands for another place is no call."""
    with pytest.raises(BadName, match=r"call .* may not be used: use 1 to 256 bytes"):
        checked_call(call)


@pytest.mark.parametrize(("number", "text"), [(17_000_000_001_234, "17000000001234"), (0, "0")])
def test_numbers_are_their_text(number, text):
    """A number of JSON is the text that it is written as."""
    assert checked_call(number) == checked_label("line", number) == text


@pytest.mark.parametrize(
    "label",
    [
        "+1 (555) 010-0000",
        "Sales 1",
        "Zo\u00eb O'Neil",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f469\u200d\U0001f4bb",
        "a\u00a0b",
        "\u05e9\u05dc\u05d5\u05dd",
        "<b>&",
        "\U0001f4bb" * 128,
    ],
)
def test_labels_are_any_text(label):
    """A line, an agent or a queue is called whatever people call it."""
    assert checked_label("agent", label) == label


@pytest.mark.parametrize("label", ["", "  ", "\u00a0", "\u200b\u200d"])
def test_blank_label_is_nobody(label):
    """What cannot be seen names nobody."""
    assert checked_label("agent", label) == ""


def test_spaces_around_are_dropped():
    """The spaces around a label are no part of it."""
    assert checked_label("line", "  Sales 1\u00a0") == "Sales 1"


@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029])
def test_acting_characters_are_refused(code):
    """What turns other text around, or ends a line, may not stand in a label."""
    with pytest.raises(BadName, match="use up to 128 characters"):
        checked_label("queue", f"a{chr(code)}b")


@pytest.mark.parametrize("label", ["a\x1b[31m", "a\nb", "\ud800", "x" * 129, None, True, []])
def test_other_labels_are_refused(label):
    """A label without end, with controls, or that is no text is refused."""
    with pytest.raises(BadName, match="use up to 128 characters"):
        checked_label("line", label)


def test_nothing_acts_in_a_terminal():
    """What would move the cursor, or turn text around, is shown escaped; other text as it is."""
    assert printable("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"
    assert printable("Zo\u00eb \u05e9") == "Zo\u00eb \u05e9"
