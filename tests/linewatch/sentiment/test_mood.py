"""How phrases and the rest of a sentence become one mood."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.sentiment import mood
from linewatch.sentiment.mood import Heard, Mood

_HEARD = st.builds(Heard, st.just(0), st.just(1), st.floats(-1, 1))
_MOOD = st.builds(Mood, st.floats(-1, 1), st.floats(0, 1))


def _words(text):
    return text.split()


def test_negation_turns_phrase_round():
    """A phrase that is negated shortly before counts half and the other way."""
    words = _words("i do not want to cancel my account")
    assert mood.negated(words, [Heard(5, 8, -0.5)]) == [Heard(5, 8, 0.25)]


def test_far_negation_does_nothing():
    """A negation more than three words before a phrase does not reach it."""
    words = _words("i am not at home so cancel it")
    assert mood.negated(words, [Heard(6, 8, -0.5)]) == [Heard(6, 8, -0.5)]


def test_phrase_keeps_own_negation():
    """A negation that belongs to one phrase does not negate the next."""
    words = _words("it did not work cancel it")
    heard = [Heard(1, 4, -0.5), Heard(4, 6, -0.5)]
    assert mood.negated(words, heard) == heard


def test_silenced_leaves_a_comma():
    """A phrase that was heard is taken out, and its neighbours stay apart."""
    words = _words("this is not kind of you")
    assert mood.silenced(words, [Heard(3, 5, 0.0)]) == ["this", "is", "not", ",", "you"]


def test_nothing_said_is_neutral():
    """Neither a phrase nor a known word is exactly 0."""
    assert mood.blend([], None) == Mood(0.0, 0.0)


def test_silent_phrases_leave_the_rest():
    """Phrases that only silence false alarms do not change the rest's mood."""
    assert mood.blend([Heard(0, 1, 0.0)], Mood(-0.35, 0.6)) == Mood(-0.35, 0.6)


def test_stronger_phrase_weighs_more():
    """A strong complaint is not evened out by a word of courtesy."""
    both = mood.blend([Heard(0, 1, -0.8), Heard(1, 2, 0.2)], None)
    assert both.polarity == pytest.approx((-0.8 * 0.8 + 0.2 * 0.2) / 1.0)


def test_phrases_outweigh_the_rest():
    """The phrases decide two thirds of the mood."""
    assert mood.blend([Heard(0, 1, -0.6)], Mood(0.6, 0.9)) == Mood(-0.2, 0.7)


@given(st.lists(_HEARD, max_size=4), st.none() | _MOOD)
def test_mood_stays_in_range(heard, rest):
    """Whatever is blended: four digits, in range, and no negative zero."""
    found = mood.blend(heard, rest)
    assert -1 <= found.polarity <= 1
    assert 0 <= found.subjectivity <= 1
    assert round(found.polarity, 4) == found.polarity
    assert found.polarity or math.copysign(1, found.polarity) == 1


@given(st.lists(st.sampled_from(["not", "good", "thing", ","]), max_size=8), st.data())
def test_silenced_never_gains_words(words, data):
    """Taking phrases out never makes the sentence longer."""
    start = data.draw(st.integers(0, len(words)))
    end = data.draw(st.integers(start, len(words)))
    heard = [Heard(start, end, 0.5)] if end > start else []
    assert len(mood.silenced(words, heard)) <= len(words)
