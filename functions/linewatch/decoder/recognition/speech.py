"""The utterance going on, and the samples that it still needs. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from linewatch.calls import Word
from linewatch.decoder.recognition.frontend import Frontend, Samples, quantum_end
from linewatch.decoder.recognition.recognizer import Recognizer, Recognizers


class Speech:
    """The utterance going on: one recognizer, fed in quanta, made when it is first fed."""

    def __init__(self, first_sample: int, rate_hz: int, recognizers: Recognizers) -> None:
        self.first_sample = first_sample
        self.fed_to = first_sample
        self._rate_hz = rate_hz
        self._recognizers = recognizers
        self._frontend = Frontend(first_sample, rate_hz)
        self._recognizer: Recognizer | None = None
        self._quanta = 0

    @property
    def next_end(self) -> int:
        """Where the next quantum ends."""
        return quantum_end(self.first_sample, self._quanta + 1, self._rate_hz)

    def feed(self, quantum: Samples) -> bool:
        """Hear one whole quantum; tell whether the speaker made an end."""
        self.fed_to = self.next_end
        self._quanta += 1
        return self._heard_by().accept(self._frontend.feed(quantum))

    def partial(self) -> str:
        """Return the words so far."""
        return self._recognizer.partial() if self._recognizer else ""

    def finish(self, rest: Samples, began_ms: int) -> tuple[Word, ...]:
        """Hear *rest*, less than a quantum, and return the words; *began_ms* is its first's."""
        if self._recognizer is None and not len(rest):
            return ()
        self._heard_by().accept(self._frontend.feed(rest, last=True))
        return tuple(
            replace(word, start_ms=began_ms + word.start_ms, end_ms=began_ms + word.end_ms)
            for word in self._heard_by().final()
        )

    def _heard_by(self) -> Recognizer:
        if self._recognizer is None:
            self._recognizer = self._recognizers.fresh()
        return self._recognizer


class Heard:
    """The samples that may still be needed, by position."""

    def __init__(self, position: int) -> None:
        self._begin = position
        self._samples: Samples = np.empty(0, np.int16)

    def append(self, samples: Samples) -> None:
        """Hold what was heard next."""
        self._samples = np.concatenate((self._samples, samples))

    def cut(self, begin: int, end: int) -> Samples:
        """Return the samples between two positions."""
        return self._samples[begin - self._begin : end - self._begin]

    def forget(self, before: int) -> None:
        """Let go of all before a position."""
        self._samples = self._samples[max(0, before - self._begin) :]
        self._begin = max(self._begin, before)
