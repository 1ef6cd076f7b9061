"""What each version of the scorer is made of: another scorer must say so by another number.

The board shows the score of the highest version, so two scorers under one number would mix.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.sentiment import lexicon
from linewatch.sentiment.scorer import VERSION, Scorer

FILE = Path(__file__).with_name("scorer-versions.json")
TEXTS = (
    "the food tasted horrible and the waiter was not friendly at all",
    "okay",
    "great thank you that was very quick and helpful",
    "it did not work and i never got a useful answer",
)


def made():
    """Return what the scorer is made of, and the hash of what it makes of many words."""
    scorer, found = Scorer(), sha256()
    phrases = [" ".join(phrase.words) for phrase in lexicon.load()]
    for text in (*TEXTS, *(f"well {phrase} the router" for phrase in phrases)):
        for channel in (Channel.AGENT, Channel.CUSTOMER, Channel.MIXED):
            key = ChannelKey("default", "golden", channel)
            score = scorer.score(Utterance(key, 0, 0, 0, 0, 0, text), "golden")
            found.update(f"{score.polarity} {score.subjectivity} {score.nouns}\n".encode())
    return {"made_of": scorer.made_of, "scores": found.hexdigest()}


def test_version_names_scorer():
    """A scorer that differs has another VERSION: raise it and add a line to the file for it."""
    versions = json.loads(FILE.read_text())
    assert versions[str(VERSION)] == made()
    assert len({json.dumps(each) for each in versions.values()}) == len(versions)
