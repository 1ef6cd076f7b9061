"""What a session asks of a recognizer, and Vosk behind it: the only importer of vosk.

A recognizer hears one utterance and is thrown away: nothing is kept between
utterances, so nothing of it ever has to be saved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import vosk

from linewatch.calls import Word
from linewatch.decoder.recognition import model_folder
from linewatch.decoder.recognition.frontend import RECOGNIZER_HZ
from linewatch.errors import SettingsError

_QUIET: Final = -1
_WARM_UP_S: Final = 0.5


class Recognizer(Protocol):
    """Hears one utterance from its first sample on."""

    def accept(self, samples: bytes) -> bool:
        """Take 16 kHz, 16 bit, little-endian samples; tell whether the speaker made an end."""
        ...

    def partial(self) -> str:
        """Return the words so far; they may still change."""
        ...

    def final(self) -> tuple[Word, ...]:
        """Return the words for good, in ms since the first sample; nothing may follow."""
        ...


class Recognizers(Protocol):
    """One loaded model. *digest* names everything that the words depend on."""

    @property
    def digest(self) -> str:
        """32 hex digits."""
        ...

    @property
    def profile(self) -> Mapping[str, str]:
        """Facts about the model for people: name, graph, kernels, allocator."""
        ...

    def fresh(self) -> Recognizer:
        """Return a recognizer that has heard nothing."""
        ...


class VoskRecognizer:
    """One utterance on Vosk."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - vosk has no types
        self._kaldi = vosk.KaldiRecognizer(model, RECOGNIZER_HZ)
        self._kaldi.SetWords(True)

    def accept(self, samples: bytes) -> bool:
        """See `Recognizer`; vosk lets other threads run meanwhile."""
        return bool(self._kaldi.AcceptWaveform(samples))

    def partial(self) -> str:
        """See `Recognizer`."""
        return str(json.loads(self._kaldi.PartialResult())["partial"])

    def final(self) -> tuple[Word, ...]:
        """See `Recognizer`."""
        found = json.loads(self._kaldi.FinalResult()).get("result", ())
        return tuple(_word(each) for each in found)


def _word(found: Mapping[str, Any]) -> Word:
    start_ms, end_ms = (round(float(found[edge]) * 1000) for edge in ("start", "end"))
    return Word(str(found["word"]), start_ms, end_ms, float(found["conf"]))


class VoskRecognizers:
    """A Vosk model, loaded once for all threads."""

    def __init__(self, model: Any, facts: model_folder.Facts) -> None:  # noqa: ANN401 - vosk has no types
        self._model = model
        self.digest: str = facts.digest
        self.profile: Mapping[str, str] = facts.profile

    def fresh(self) -> VoskRecognizer:
        """See `Recognizers`; 0.3 ms on a static graph, 60 ms on a shipped one."""
        return VoskRecognizer(self._model)


def load(path: Path) -> VoskRecognizers:
    """Load the prepared model in *path* and decode half a second with it.

    Raises:
        SettingsError: there is no model, or it still has Kaldi's random dither.
    """
    facts = model_folder.read(path)
    vosk.SetLogLevel(_QUIET)
    try:
        model = vosk.Model(str(path))
    except Exception as error:
        # vosk raises the bare class for every failure.
        raise SettingsError(f"Vosk cannot read the model in {path}: fetch it again") from error
    recognizers = VoskRecognizers(model, facts)
    _warm_up(recognizers)
    return recognizers


def _warm_up(recognizers: Recognizers) -> None:
    recognizer = recognizers.fresh()
    recognizer.accept(np.zeros(int(RECOGNIZER_HZ * _WARM_UP_S), np.int16).tobytes())
    recognizer.final()
