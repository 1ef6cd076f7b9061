"""How long an utterance, a pause and a tail may be: what passes an edge besides the words.

And the number of the rules that use these lengths: it stands here and not in ``session.py``,
because the digest, which names it, is made below the session.
"""

from __future__ import annotations

from typing import Final

from linewatch.decoder.recognition.gate import FRAME_MS

#: Raise it when ``session.py`` makes other edges or utterances of the same steps: it is part of
#: the digest that promises equal words. A golden file holds what each number stands for.
RULES: Final = 2
#: So much before the gate opened belongs to the utterance.
PRE_ROLL_MS: Final = 300
#: A closed gate passes an edge every so many frames (5 s).
IDLE_FRAMES: Final = 5_000 // FRAME_MS
#: No utterance is longer.
UTTERANCE_MS: Final = 20_000
#: An utterance that began long after the last edge ends here, so that no tail passes 21 s.
TAIL_MS: Final = 20_500


def fingerprint() -> str:
    """Name everything here that decides where utterances begin and end."""
    lengths = f"pre-roll-{PRE_ROLL_MS} idle-{IDLE_FRAMES} utterance-{UTTERANCE_MS} tail-{TAIL_MS}"
    return f"rules-{RULES} {lengths}"
