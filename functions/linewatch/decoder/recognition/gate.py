"""The voice gate of one channel: open while somebody speaks. No I/O.

It hears frames of 30 ms. Its state cannot be saved, so a session makes it anew
at every edge, and a restored gate hears the same frames again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
import webrtcvad
from numpy.typing import NDArray

FRAME_MS: Final = 30
HANGOVER_MS: Final = 500
#: webrtcvad's aggressiveness, 0 to 3: 1 makes 5 errors fewer in 635 words than 2, 6 than 3.
MODE: Final = 1
#: The gate opens at so many voiced frames out of the last `WINDOW_FRAMES`.
OPENING_FRAMES: Final = 3
WINDOW_FRAMES: Final = 5
#: A new webrtcvad calls its first 6 frames of any steady noise voiced: they open nothing.
#: With the opening frames they are as long as a session's pre-roll, so no speech is lost.
SETTLING_FRAMES: Final = 7

_NATIVE_HZ: Final = frozenset({8000, 16000, 32000, 48000})
_FALLBACK_HZ: Final = 8000
_HANGOVER_FRAMES: Final = -(-HANGOVER_MS // FRAME_MS)


def fingerprint() -> str:
    """Name everything here that decides where utterances begin and end."""
    opening = f"{OPENING_FRAMES}/{WINDOW_FRAMES}"
    return f"webrtcvad-{MODE} {FRAME_MS}ms {opening} {SETTLING_FRAMES} hangover-{HANGOVER_MS}"


def frame_end(origin: int, number: int, rate_hz: int) -> int:
    """Return where frame *number* (from 1) ends, in samples, when frame 1 begins at *origin*."""
    return origin + number * FRAME_MS * rate_hz // 1000


class Gate:
    """Begins closed, opens at speech, closes half a second after its last voiced frame."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._vad = webrtcvad.Vad(MODE)
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._unvoiced = 0
        self._settling = SETTLING_FRAMES
        self.is_open = False

    def hear(self, frame: NDArray[np.int16]) -> None:
        """Take the next 30 ms of samples at the channel's rate."""
        voiced = self._is_voiced(frame)
        if self._settling:
            self._settling -= 1
            return
        self._unvoiced = 0 if voiced else self._unvoiced + 1
        self._recent.append(voiced)
        if not self.is_open:
            self.is_open = sum(self._recent) >= OPENING_FRAMES
        elif self._unvoiced >= _HANGOVER_FRAMES:
            self.is_open = False
            self._recent.clear()

    def _is_voiced(self, frame: NDArray[np.int16]) -> bool:
        if self._rate_hz in _NATIVE_HZ:
            return bool(self._vad.is_speech(frame.tobytes(), self._rate_hz))
        return bool(self._vad.is_speech(_at_8_khz(frame).tobytes(), _FALLBACK_HZ))


def _at_8_khz(frame: NDArray[np.int16]) -> NDArray[np.int16]:
    # Each frame stands for itself: a filter would carry state over its border.
    wanted = _FALLBACK_HZ * FRAME_MS // 1000
    where = np.linspace(0, len(frame) - 1, wanted)
    return np.interp(where, np.arange(len(frame)), frame).astype(np.int16)
