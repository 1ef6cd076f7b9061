"""The scorer on what callers and agents say, as a recognizer writes it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.sentiment.scorer import Scorer, words_of

_MISSED = [
    "i have been waiting for forty minutes and nobody has helped me",
    "i want to cancel my subscription",
    "i want to speak to your supervisor",
    "you charged me twice",
    "i am going to call my lawyer",
    "that's unacceptable",
    "my order never arrived",
    "it does not work",
    "great just great another hour wasted",
]
_CALM = [
    "i mean the first bill",
    "what kind of internet plan is it",
    "okay right",
    "the new card",
    "sorry what did you say",
]


@pytest.mark.parametrize("text", _MISSED)
def test_angry_customer_is_negative(polarity, text):
    """What spacytextblob misses on the telephone is negative here."""
    assert polarity(text) <= -0.2


@pytest.mark.parametrize("text", _MISSED)
def test_plain_textblob_misses_it(scorer, text):
    """The phrases are needed: spacytextblob alone hears nothing bad in these."""
    assert scorer.plain(text).polarity >= 0


@pytest.mark.parametrize("text", _CALM)
def test_false_alarms_are_neutral(polarity, text):
    """Words that only sound like a mood leave exactly 0."""
    assert polarity(text) == 0.0


@pytest.mark.parametrize("text", ["i am sorry for the trouble", "would you like to cancel it"])
def test_agent_courtesy_is_neutral(polarity, text):
    """What agents say all day says nothing about the call."""
    assert polarity(text, Channel.AGENT) == 0.0


def test_channels_are_scored_apart(polarity):
    """The same words mean more when the customer says them."""
    text = "i want to cancel my subscription"
    assert polarity(text, Channel.AGENT) > polarity(text, Channel.CUSTOMER)
    assert polarity(text, Channel.MIXED) == polarity(text, Channel.CUSTOMER)


def test_rude_agent_is_negative(polarity):
    """An agent who tells a customer off is heard, too."""
    assert polarity("sir you need to calm down", Channel.AGENT) < -0.3


def test_thanks_are_positive(polarity):
    """A customer who was helped is positive."""
    assert polarity("thank you so much you have been very helpful") > 0.3


def test_negation_is_understood(polarity):
    """Whoever does not want to cancel is no complaint."""
    assert polarity("i do not want to cancel my account") > 0


def test_unknown_words_give_plain_score(scorer, polarity):
    """Without a phrase of the lexicon the score is spacytextblob's own."""
    text = "the food tasted horrible"
    assert polarity(text) == round(scorer.plain(text).polarity, 4) == -1.0


def test_score_keeps_the_utterance(scorer, said):
    """Everything that identifies the utterance is in its score, with who scored it."""
    utterance = said("my router is broken")
    score = scorer.score(utterance, "night-shift")
    assert (score.key, score.first_sample, score.index) == (utterance.key, 48_000, 3)
    assert (score.started_at_ms, score.start_ms, score.end_ms) == (1_700_000_000_000, 6_000, 9_000)
    assert (score.text, score.digest) == (utterance.text, "digest-1")
    assert (score.consumer, score.scorer) == ("night-shift", scorer.made_of)
    assert score.scorer_version == scorer.version


def test_nouns_name_the_topic(scorer, said):
    """The nouns say what the call is about."""
    score = scorer.score(said("hi my router isn't working and the invoice is wrong"), "")
    assert score.nouns == ("router", "invoice")


def test_punctuation_does_no_harm(polarity):
    """Text of a recognizer that punctuates meets the same phrases."""
    written = "I want to CANCEL my subscription."
    assert polarity(written) == polarity("i want to cancel my subscription")


def test_apostrophes_are_one_kind():
    """A typographic apostrophe is the same word as a typed one."""
    assert words_of("That’s It, isn't it?") == ["that's", "it", ",", "isn't", "it", "?"]  # noqa: RUF001


def test_new_scorer_agrees(scorer, said):
    """Two scorers of one version give equal scores."""
    other = Scorer()
    assert (other.version, other.made_of) == (scorer.version, scorer.made_of)
    for text in _MISSED:
        assert other.score(said(text), "") == scorer.score(said(text), "")


def test_lexicon_is_named(scorer, monkeypatch, tmp_path):
    """A scorer with another lexicon says that it is made of something else."""
    path = tmp_path / "lexicon.csv"
    path.write_text("phrase,customer,agent\ncancel,-0.9,0\n")
    monkeypatch.setattr("linewatch.sentiment.lexicon.PATH", path)
    assert Scorer().made_of != scorer.made_of


def test_threads_do_not_disturb(scorer, said):
    """Eight threads at once get what one gets."""
    expected = [scorer.score(said(text), "") for text in _MISSED]
    start = threading.Barrier(8)

    def score_all(_):
        start.wait()
        return [scorer.score(said(text), "") for text in _MISSED]

    with ThreadPoolExecutor(8) as threads:
        assert all(found == expected for found in threads.map(score_all, range(8)))


def test_words_are_forgotten(scorer, said):
    """A word that was never heard before does not stay in spaCy's memory."""
    strings = scorer._nlp.vocab.strings
    before = len(strings)
    for number in range(50):
        scorer.score(said(f"zyxxword{number} is unheardof{number}"), "")
    assert len(strings) == before


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_scored(scorer, text):
    """Any text at all gets a score in range, and the same one again."""
    said = Utterance(ChannelKey("default", "c1", Channel.CUSTOMER), 0, 0, 0, 0, 0, text)
    found = scorer.score(said, "")
    assert -1 <= found.polarity <= 1
    assert scorer.score(said, "") == found
