"""Which nouns reach the board."""

from __future__ import annotations

from linewatch.sentiment import nouns


def test_only_nouns_are_kept():
    """Words of other kinds are left out, and the order is the speaker's."""
    tagged = [("the", "DT"), ("router", "NN"), ("lost", "VBD"), ("packets", "NNS")]
    assert nouns.useful(tagged) == ("router", "packets")


def test_each_noun_stands_once():
    """A noun said twice is told once."""
    assert nouns.useful([("bill", "NN"), ("bill", "NN")]) == ("bill",)


def test_sounds_are_left_out():
    """Courtesies, sounds and pieces of contractions are no topics."""
    tagged = [(word, "NN") for word in ("hmm", "thanks", "isn't", "tv", "x1", "yeah", "invoice")]
    assert nouns.useful(tagged) == ("invoice",)


def test_list_stays_short():
    """A row of the board gets no more nouns than it has room for."""
    tagged = [(f"topic{letter}", "NN") for letter in "abcdefgh"]
    assert len(nouns.useful(tagged)) == nouns.LIMIT
