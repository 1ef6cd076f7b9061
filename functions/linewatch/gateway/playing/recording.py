"""Recorded calls that a line can play, and the spans of them that are hold time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from linewatch.calls import Channel
from linewatch.errors import BadRequest, SettingsError
from linewatch.gateway.playing import wav
from linewatch.gateway.playing.wav import Wav

MANIFEST: Final = "calls.json"
STEREO: Final = (Channel.CUSTOMER, Channel.AGENT)
MONO: Final = (Channel.MIXED,)
_PAUSE_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Hold:
    """Where a caller is on hold, in samples; it may be played again and again."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One call's audio by channel, and what is known of it.

    *pause* is a quiet moment between two turns; repeated it is a silent hold.
    """

    name: str
    wav: Wav
    channels: tuple[Channel, ...]
    queue: str = ""
    direction: str = "inbound"
    hold: Hold | None = None
    pause: Hold | None = None

    @classmethod
    def of_file(cls, path: Path, channels: Sequence[Channel] = ()) -> Recording:
        """Read a wav file; two channels are customer and agent, one is ``mixed``.

        Raises:
            BadRequest: the file is broken, or *channels* are not as many as it has.
        """
        found = wav.read(path)
        named = tuple(channels) or (STEREO if len(found.channels) == len(STEREO) else MONO)
        if len(named) != len(found.channels) or len(set(named)) != len(named):
            raise BadRequest(
                f"{path.name} has {len(found.channels)} channels: name each once, left first"
            )
        return cls(path.stem, found, named)

    @property
    def can_hold(self) -> bool:
        """Tell whether the caller can be put on hold for longer than was recorded."""
        return self.hold is not None or self.pause is not None

    @property
    def duration_s(self) -> float:
        """How long the recording is."""
        return self.wav.samples / self.wav.rate_hz

    def pieces(
        self, piece_ms: int, *, start: int = 0, hold_s: float = 0.0
    ) -> Iterator[Mapping[Channel, bytes]]:
        """Cut the audio, from sample *start* on, into pieces of at most *piece_ms*.

        The hold, or a pause where there is none, is repeated until it lasts *hold_s*.
        """
        samples = max(1, self.wav.rate_hz * piece_ms // 1000)
        for first, stop in self._spans(hold_s):
            for begin in range(max(first, start), stop, samples):
                yield self._piece(begin, min(begin + samples, stop))

    def _spans(self, hold_s: float) -> Iterator[tuple[int, int]]:
        held = self.hold or (self.pause if hold_s else None)
        if held is None:
            yield 0, self.wav.samples
            return
        yield 0, held.start
        left = max(round(hold_s * self.wav.rate_hz), held.stop - held.start)
        while left > 0:
            stop = min(held.stop, held.start + left)
            yield held.start, stop
            left -= stop - held.start
        yield held.stop, self.wav.samples

    def _piece(self, begin: int, stop: int) -> Mapping[Channel, bytes]:
        width = self.wav.codec.sample_bytes
        audio = zip(self.channels, self.wav.channels, strict=True)
        return {channel: data[begin * width : stop * width] for channel, data in audio}


def read_folder(folder: Path) -> tuple[Recording, ...]:
    """Read every wav file of *folder*, with what its ``calls.json`` tells of them.

    Raises:
        SettingsError: there is none, or the manifest cannot be read.
        BadRequest: a file is broken.
    """
    told = _manifest(folder / MANIFEST)
    found = tuple(_told(folder / name, told.get(name, {})) for name in _names(folder))
    if not found:
        raise SettingsError(f"CALLS_DIR has no wav file in it: {folder.name}")
    return found


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.wav"))


def _manifest(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        return {call["file"]: call for call in json.loads(path.read_text())["calls"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{path.name} of CALLS_DIR cannot be read: {error!r}") from error


def _told(path: Path, told: Mapping[str, Any]) -> Recording:
    plain = Recording.of_file(path)
    span = told.get("hold")
    hold = Hold(*span) if span else None
    if hold and not 0 <= hold.start < hold.stop <= plain.wav.samples:
        raise SettingsError(f"the hold of {path.name} must lie within the recording")
    return replace(
        plain,
        queue=str(told.get("queue", "")),
        direction=str(told.get("direction", "inbound")),
        hold=hold,
        pause=None if hold else _pause(told.get("turns", []), plain.wav),
    )


def _pause(turns: Sequence[Mapping[str, Any]], heard: Wav) -> Hold | None:
    """Find the quiet moment nearest to the middle of the call."""
    quiet = [
        Hold(*(each * heard.rate_hz // 1000 for each in (before["end_ms"], after["start_ms"])))
        for before, after in pairwise(turns)
        if after["start_ms"] - before["end_ms"] >= _PAUSE_MS
    ]
    middle = heard.samples // 2
    return min(quiet, key=lambda pause: abs(pause.start - middle), default=None)
