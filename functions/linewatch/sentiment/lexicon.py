"""What people say on the telephone when they are angry, and what only sounds like it.

TextBlob knows adjectives; a caller says "i have been waiting for an hour". The
phrases stand in ``lexicon.csv``: a word may be a choice (``cancel|cancelling``),
a value is a polarity, 0 silences a false alarm, and an empty one leaves the
words to TextBlob. The agent has a column of its own: "would you like to cancel"
is no complaint, "calm down" is one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from linewatch.calls import Channel

PATH: Final = Path(__file__).with_name("lexicon.csv")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand together, and their polarity (-1 to 1) by who says them."""

    words: tuple[str, ...]
    customer: float | None
    agent: float | None

    def polarity(self, channel: Channel) -> float | None:
        """Return what the phrase is worth on *channel*, if it has a meaning there.

        On ``mixed`` nobody knows who speaks: a complaint counts.
        """
        return self.customer if channel.has_customer else self.agent


def read(lines: Iterable[str]) -> Iterator[Phrase]:
    """Read the rows of a lexicon, every choice of words spelt out.

    Raises:
        ValueError: a row has no words, or a value that is no polarity.
    """
    for row in csv.DictReader(lines):
        choices = [choice.split("|") for choice in row["phrase"].split()]
        if not choices:
            raise ValueError(f"a phrase without words: {row}")
        customer, agent = _polarity(row["customer"]), _polarity(row["agent"])
        for words in product(*choices):
            yield Phrase(words, customer, agent)


def load(path: Path = PATH) -> tuple[Phrase, ...]:
    """Return all phrases of *path*; where two rows spell the same one, the first counts."""
    known: dict[tuple[str, ...], Phrase] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for phrase in read(lines):
            known.setdefault(phrase.words, phrase)
    return tuple(known.values())


def _polarity(raw: str) -> float | None:
    if not raw:
        return None
    value = float(raw)
    if not -1 <= value <= 1:
        raise ValueError(f"a polarity is from -1 to 1, not {raw}")
    return value
