"""Recorded calls that a line can play, and the spans of them that are hold time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linewatch.calls import Channel
from linewatch.errors import BadRequest, SettingsError
from linewatch.gateway import wav
from linewatch.gateway.wav import Wav

MANIFEST: Final = "calls.json"
STEREO: Final = (Channel.CUSTOMER, Channel.AGENT)
MONO: Final = (Channel.MIXED,)


@dataclass(frozen=True, slots=True)
class Hold:
    """Where a caller is on hold, in samples; it may be played again and again."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One call's audio by channel, and what is known of it."""

    name: str
    wav: Wav
    channels: tuple[Channel, ...]
    queue: str = ""
    direction: str = "inbound"
    hold: Hold | None = None

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
    def duration_s(self) -> float:
        """How long the recording is."""
        return self.wav.samples / self.wav.rate_hz

    def pieces(
        self, piece_ms: int, *, start: int = 0, hold_s: float = 0.0
    ) -> Iterator[Mapping[Channel, bytes]]:
        """Cut the audio, from sample *start* on, into pieces of at most *piece_ms*.

        The hold, if there is one, is repeated until it lasts *hold_s*.
        """
        samples = max(1, self.wav.rate_hz * piece_ms // 1000)
        for first, stop in self._spans(hold_s):
            for begin in range(max(first, start), stop, samples):
                yield self._piece(begin, min(begin + samples, stop))

    def _spans(self, hold_s: float) -> Iterator[tuple[int, int]]:
        if self.hold is None:
            yield 0, self.wav.samples
            return
        yield 0, self.hold.start
        left = max(round(hold_s * self.wav.rate_hz), self.hold.stop - self.hold.start)
        while left > 0:
            stop = min(self.hold.stop, self.hold.start + left)
            yield self.hold.start, stop
            left -= stop - self.hold.start
        yield self.hold.stop, self.wav.samples

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
        raise SettingsError(f"CALLS_DIR holds no wav file: {folder.name}")
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
        raise SettingsError(f"the hold of {path.name} lies outside it")
    return Recording(
        plain.name,
        plain.wav,
        plain.channels,
        queue=str(told.get("queue", "")),
        direction=str(told.get("direction", "inbound")),
        hold=hold,
    )
