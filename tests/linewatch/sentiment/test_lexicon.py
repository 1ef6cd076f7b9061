"""The lexicon: how a row is read, and what every row of the shipped one keeps."""

from __future__ import annotations

import pytest

from linewatch.calls import Channel
from linewatch.sentiment import lexicon
from linewatch.sentiment.lexicon import Phrase

_HEAD = "phrase,customer,agent"


def test_choices_are_spelt_out():
    """A row with two choices of two words stands for four phrases."""
    found = list(lexicon.read([_HEAD, "cancel|close my|the account,-0.5,0"]))
    assert [phrase.words for phrase in found] == [
        ("cancel", "my", "account"),
        ("cancel", "the", "account"),
        ("close", "my", "account"),
        ("close", "the", "account"),
    ]


def test_agent_has_own_value():
    """A phrase is worth another polarity when the agent says it."""
    phrase = Phrase(("calm", "down"), -0.3, -0.6)
    assert phrase.polarity(Channel.AGENT) == -0.6
    assert phrase.polarity(Channel.CUSTOMER) == -0.3


def test_mixed_counts_as_customer():
    """On a mono source a complaint counts, whoever spoke."""
    assert Phrase(("cancel",), -0.5, 0.0).polarity(Channel.MIXED) == -0.5


def test_empty_value_means_none():
    """An empty column leaves the words of that speaker alone."""
    (phrase,) = lexicon.read([_HEAD, "wrong,,0"])
    assert phrase.polarity(Channel.CUSTOMER) is None
    assert phrase.polarity(Channel.AGENT) == 0.0


@pytest.mark.parametrize("row", [",-0.5,0", "cancel,-1.5,0", "cancel,bad,0"])
def test_wrong_row_is_refused(row):
    """A row without words or with a value that is no polarity stops the reading."""
    with pytest.raises(ValueError, match=r"phrase without words|-1\.5|bad"):
        list(lexicon.read([_HEAD, row]))


def test_first_row_wins(tmp_path):
    """Where two rows spell the same phrase the first one counts."""
    path = tmp_path / "lexicon.csv"
    path.write_text(f"{_HEAD}\nthank you,0.2,0\nthank you,0.9,0\n")
    assert lexicon.load(path) == (Phrase(("thank", "you"), 0.2, 0.0),)


def test_shipped_phrases_are_recognizable():
    """Every shipped phrase is lower case and has no sign that a recognizer never writes."""
    phrases = lexicon.load()
    assert len(phrases) > 1000
    for phrase in phrases:
        assert all(word.replace("'", "").isalpha() and word.islower() for word in phrase.words)


def test_agent_never_harsher_by_complaint():
    """Words of a complaint are never held against the agent more than against the customer."""
    complaint = {"cancel", "lawyer", "refund", "supervisor", "charged", "waiting"}
    about = [phrase for phrase in lexicon.load() if complaint & set(phrase.words)]
    assert about
    assert all(phrase.agent == 0 for phrase in about)
