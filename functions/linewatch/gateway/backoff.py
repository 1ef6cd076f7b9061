"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 1.0
_LONGEST_ASKED_S: Final = 5.0
_TRIES: Final = 10


@dataclass(slots=True)
class Backoff:
    """Growing waits with jitter, so that many senders do not come back together."""

    chance: random.Random
    tries: int = 0

    def wait_s(self, asked_s: float | None = None) -> float:
        """Return the next wait: at least *asked_s* where the decoder asked for a time."""
        longest = min(_LONGEST_S, _FIRST_S * 2.0**self.tries)
        self.tries = min(self.tries + 1, _TRIES)
        jitter = longest * self.chance.uniform(0.5, 1.0)
        if asked_s is None:
            return jitter
        return min(asked_s, _LONGEST_ASKED_S) + 0.1 * jitter

    def reset(self) -> None:
        """Begin anew after a success."""
        self.tries = 0
