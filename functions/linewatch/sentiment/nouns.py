"""The nouns of an utterance that tell a supervisor what the call is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: What a row of the board has room for.
LIMIT: Final = 5
_SHORTEST: Final = 3
# The tagger takes every word it does not know for a noun: so sounds and courtesies, too.
_USELESS: Final = """
afternoon anybody anyone anything bit bye couple course day days evening everybody everyone
everything gonna goodbye gotta guy guys hello hey hmm hour hours huh kind kinda lot lots maam
madam mhm minute minutes moment month months morning mrs name night nobody none noone nothing
okay one ones people person please second seconds sir somebody someone something sort stuff
thank thanks thing things time times today tomorrow tonight uhm uhuh wanna way ways week weeks
yeah year years yep yes yesterday
"""
_KNOWN: Final = frozenset(_USELESS.split())


def useful(tagged: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return at most `LIMIT` nouns of *tagged* (word, Penn tag) pairs, in order, each once."""
    nouns = dict.fromkeys(word for word, tag in tagged if tag.startswith("NN") and _is_useful(word))
    return tuple(nouns)[:LIMIT]


def _is_useful(word: str) -> bool:
    return len(word) >= _SHORTEST and word.isalpha() and word not in _KNOWN
