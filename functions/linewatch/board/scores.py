"""The scores of one utterance: every scorer's is kept, one is shown. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from linewatch.calls import Score


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose scores are shown: those of *consumers*, first choice first; none = anybody's."""

    consumers: tuple[str, ...] = ()

    def choose(self, scores: Iterable[Score]) -> Score | None:
        """Return the one of an utterance's *scores* that is shown, if any.

        It is the first consumer's of the list; without a list the one whose name is the smallest.
        Of one consumer it is the newest version's, by its number.
        """
        chosen = [
            score for score in scores if not self.consumers or score.consumer in self.consumers
        ]
        return min(chosen, key=self._place, default=None)

    def _place(self, score: Score) -> tuple[int, str, int]:
        place = self.consumers.index(score.consumer) if self.consumers else 0
        return place, score.consumer, -score.scorer_version


#: Everybody's scores are shown.
ANYBODY: Final = Shown()
