"""Speaks ``scripts.json`` into telephone calls: ``python -m infra.recordings.make_calls``.

Needs festival and flite (see `infra.recordings.voices.PACKAGES`). The same scripts
and voices give the same bytes.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from infra.recordings import sound
from infra.recordings.voices import RATE_HZ, Samples, speak
from linewatch.errors import SettingsError

HERE: Final = Path(__file__).parent
_LEAD_S: Final = 0.8
_PAUSE_S: Final = (0.7, 1.1)
_HOLD: Final = "hold"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says, and the pause before it."""

    channel: str
    text: str
    pause_s: float


@dataclass(slots=True)
class Tape:
    """A call while it is spoken: pieces of sound by channel and where they begin."""

    chance: np.random.Generator
    laid: list[tuple[str, int, Samples]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    hold: tuple[int, int] | None = None
    end: int = round(_LEAD_S * RATE_HZ)

    def say(self, turn: Turn, voice: str) -> None:
        """Let *voice* speak *turn* after its pause."""
        spoken = sound.levelled(sound.band_limited(speak(voice, turn.text)))
        start = self.end + round(turn.pause_s * RATE_HZ)
        self.laid.append((turn.channel, start, spoken))
        self.end = start + len(spoken)
        words = {"channel": turn.channel, "text": turn.text}
        self.turns.append({**words, "start_ms": _ms(start), "end_ms": _ms(self.end)})

    def wait(self, kind: str, seconds: float) -> None:
        """Put the customer on hold, with music or in silence."""
        start = self.end + RATE_HZ
        samples = round(seconds * RATE_HZ)
        if kind == "music":
            music = sound.hold_music(seconds)
            samples = len(music)
            self.laid.append(("agent", start, music))
        self.hold = (start, start + samples)
        self.end = start + samples

    def channel(self, name: str) -> bytes:
        """Return everything on a channel, over the noise of its room, as mu-law."""
        whole = sound.room_noise(self.end + RATE_HZ, self.chance)
        for channel, start, samples in self.laid:
            if channel == name:
                whole[start : start + len(samples)] += samples
        return sound.mu_law(whole)


def _ms(sample: int) -> int:
    return sample * 1000 // RATE_HZ


def make(script: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Speak one call into *folder*; return its entry in the manifest."""
    tape = Tape(np.random.default_rng(zlib.crc32(script["name"].encode())))
    for who, what, *seconds in script["turns"]:
        if who == _HOLD:
            tape.wait(what, *seconds)
            continue
        pause_s = seconds[0] if seconds else float(tape.chance.uniform(*_PAUSE_S))
        tape.say(Turn(who, what, pause_s), script[who])
    file = f"{script['name']}.wav"
    sound.write_wav(folder / file, tape.channel("customer"), tape.channel("agent"))
    about = {name: script[name] for name in ("about", "queue", "direction")}
    return {"file": file, **about, "hold": tape.hold, "turns": tape.turns}


def make_all(scripts: Path, folder: Path) -> Sequence[dict[str, Any]]:
    """Speak every call of *scripts* into *folder* and write its ``calls.json``."""
    made = [make(script, folder) for script in json.loads(scripts.read_text())["calls"]]
    (folder / "calls.json").write_text(json.dumps({"calls": made}, indent=1) + "\n")
    return made


def main() -> int:
    """Make the calls beside the scripts; print how long each is."""
    try:
        made = make_all(HERE / "scripts.json", HERE)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for call in made:
        size = (HERE / call["file"]).stat().st_size
        sys.stdout.write(f"{call['file']:24} {size / 2 / RATE_HZ:6.1f} s  {size:8d} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
