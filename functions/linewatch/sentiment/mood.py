"""The mood of an utterance: what the phrases say, pulled a little by all other words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

#: How much the phrases weigh against the rest of the sentence.
PHRASES_SHARE: Final = 2 / 3
#: TextBlob's own: "not bad" is half as good as "bad" is bad.
NEGATED: Final = -0.5
_NEGATIONS: Final = frozenset(
    {"not", "never", "without", "don't", "didn't", "doesn't", "isn't", "wasn't"}
    | {"won't", "wouldn't", "haven't", "hasn't"}
)
_NEGATION_REACH: Final = 3


@dataclass(frozen=True, slots=True)
class Mood:
    """``polarity`` is -1 to 1, ``subjectivity`` 0 to 1."""

    polarity: float
    subjectivity: float


@dataclass(frozen=True, slots=True)
class Heard:
    """A phrase at words *start* to *end* - 1 of an utterance."""

    start: int
    end: int
    polarity: float


def negated(words: Sequence[str], heard: Sequence[Heard]) -> list[Heard]:
    """Turn round each phrase that a negation stands shortly before.

    A negation that belongs to a phrase ("did not work") negates no other.
    """
    taken = {at for each in heard for at in range(each.start, each.end)}
    return [
        Heard(each.start, each.end, each.polarity * NEGATED)
        if _is_negated(words, each.start, taken)
        else each
        for each in heard
    ]


def _is_negated(words: Sequence[str], start: int, taken: Collection[int]) -> bool:
    before = range(max(0, start - _NEGATION_REACH), start)
    return any(words[at] in _NEGATIONS and at not in taken for at in before)


def silenced(words: Sequence[str], heard: Sequence[Heard]) -> list[str]:
    """Return *words* with every phrase that was heard taken out.

    A comma stays in its place, so that the words around it do not become neighbours.
    """
    left = list(words)
    for each in heard:
        left[each.start : each.end] = [","] + [""] * (each.end - each.start - 1)
    return [word for word in left if word]


def blend(heard: Sequence[Heard], rest: Mood | None) -> Mood:
    """Return the mood of phrases and the *rest* of the words (none: they say nothing).

    The stronger a phrase, the more it weighs. Without a phrase that has a
    polarity the rest decides alone, and is left as it is.
    """
    loud = [abs(each.polarity) for each in heard if each.polarity]
    rest = _rounded(rest) if rest else None
    if not loud:
        return rest or Mood(0.0, 0.0)
    mean = sum(each.polarity * abs(each.polarity) for each in heard) / sum(loud)
    said = Mood(mean, max(loud))
    if rest is None:
        return _rounded(said)
    return _rounded(
        Mood(_weighed(said.polarity, rest.polarity), _weighed(said.subjectivity, rest.subjectivity))
    )


def _weighed(phrases: float, rest: float) -> float:
    return PHRASES_SHARE * phrases + (1 - PHRASES_SHARE) * rest


def _rounded(mood: Mood) -> Mood:
    # + 0.0 turns -0.0 into 0.0: a neutral sentence has one spelling.
    polarity = round(max(-1.0, min(1.0, mood.polarity)), 4) + 0.0
    return Mood(polarity, round(max(0.0, min(1.0, mood.subjectivity)), 4) + 0.0)
