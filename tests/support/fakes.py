"""Recognizers that hash instead of hearing: the oracle that restores are checked against.

`HashRecognizers` chains a hash over every sample fed, so one sample more, less or
elsewhere changes every later word. `PoisonedRecognizers` also kill or hang their
process on `poison` audio. `speech` and `silence` make audio that opens and closes the
voice gate.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from hashlib import sha256

import numpy as np

from linewatch.calls import Channel, Chunk, Codec, Word

_LOUD = 300.0
_POISON_LEVEL = 31_500
_POISON_SAMPLES = 800
_BYTES_PER_MS = 32


class HashRecognizer:
    """Says one word per loud quantum, named by the hash of everything heard so far.

    It finds an endpoint at 0.5 s of quiet after a word, and at one loud quantum in 24
    that the hash picks.
    """

    def __init__(self, *, endpoints=True):
        self._endpoints = endpoints
        self._chain = b""
        self._heard_ms = 0
        self._quiet_ms = 0
        self._words = []

    def accept(self, samples):
        """See `Recognizer`."""
        if not samples:
            return False
        self._chain = sha256(self._chain + samples).digest()
        begin_ms = self._heard_ms
        self._heard_ms += len(samples) // _BYTES_PER_MS
        if _level(samples) < _LOUD:
            self._quiet_ms += self._heard_ms - begin_ms
            return self._endpoints and bool(self._words) and self._quiet_ms >= 500
        self._quiet_ms = 0
        self._words.append(Word(self._chain.hex()[:6], begin_ms, self._heard_ms, 1.0))
        return self._endpoints and self._chain[0] % 24 == 0

    def partial(self):
        """See `Recognizer`."""
        return " ".join(word.text for word in self._words)

    def final(self):
        """See `Recognizer`."""
        return tuple(self._words)


class HashRecognizers:
    """Make hash recognizers and count them in *made*.

    Each quantum takes *work_s*; without *endpoints* they never end an utterance themselves.
    """

    def __init__(self, digest="fake", work_s=0.0, *, endpoints=True):
        self.digest = digest
        self.profile = {"model": "fake", "graph": "none", "profile": "fake"}
        self.made = 0
        self._work_s = work_s
        self._endpoints = endpoints

    def fresh(self):
        """See `Recognizers`."""
        self.made += 1
        return _Slow(self._work_s, endpoints=self._endpoints)


class _Slow(HashRecognizer):
    def __init__(self, work_s, *, endpoints):
        super().__init__(endpoints=endpoints)
        self._work_s = work_s

    def accept(self, samples):
        if self._work_s:
            time.sleep(self._work_s)
        return super().accept(samples)


class PoisonedRecognizers(HashRecognizers):
    """Die of a SIGSEGV (``how="crash"``) or never come back (``how="hang"``) on `poison`."""

    def __init__(self, how="crash", digest="fake"):
        super().__init__(digest)
        self.how = how

    def fresh(self):
        """See `Recognizers`."""
        self.made += 1
        return _Poisoned(self.how)


class _Poisoned(HashRecognizer):
    def __init__(self, how):
        super().__init__()
        self._how = how

    def accept(self, samples):
        if is_poison(samples):
            if self._how == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            while True:
                time.sleep(60)
        return super().accept(samples)


def is_poison(samples):
    """Tell whether 16 kHz s16le *samples* hold poison, noise and resampling notwithstanding."""
    return int((np.frombuffer(samples, "<i2") >= _POISON_LEVEL).sum()) >= _POISON_SAMPLES


def _level(samples):
    return float(np.abs(np.frombuffer(samples, "<i2").astype(np.int32)).mean())


def speech(duration_s, rate_hz=8000, seed=0, peak=9000.0):
    """Return int16 samples of a buzz with moving formants: it opens the voice gate."""
    random = np.random.RandomState(seed)
    at = np.arange(int(duration_s * rate_hz)) / rate_hz
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.7 * at + random.rand() * 6)
    phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
    harmonics = [
        np.sin(k * phase) / (1 + abs(k - 5 - 3 * np.sin(2 * np.pi * 2 * at)))
        for k in range(1, 20)
        if k * 160 < rate_hz / 2
    ]
    voice = sum(harmonics) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    voice = voice + random.normal(0, 0.02, len(at))
    return (peak * voice / np.abs(voice).max()).astype(np.int16)


def silence(duration_s, rate_hz=8000):
    """Return int16 zeros."""
    return np.zeros(int(duration_s * rate_hz), np.int16)


def noise(duration_s, rate_hz=8000, level=2000.0, seed=0):
    """Return int16 white noise."""
    random = np.random.RandomState(seed)
    return random.normal(0, level, int(duration_s * rate_hz)).clip(-30_000, 30_000).astype(np.int16)


def tone(duration_s, rate_hz=8000, frequency_hz=440.0):
    """Return a sine as int16 samples."""
    at = np.arange(int(duration_s * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * frequency_hz * at)).astype(np.int16)


def hold_music(duration_s, rate_hz=8000):
    """Return plucked chords, four to the bar, as int16 samples."""
    chords = ((262, 330, 392), (220, 262, 330), (294, 349, 440), (196, 247, 294))
    at = np.arange(rate_hz // 2) / rate_hz
    beats = [
        sum(np.sin(2 * np.pi * k * hz * at) / k for hz in chord for k in (1, 2, 3))
        * np.exp(-3 * at)
        for chord in chords
    ]
    bar = np.concatenate([beat for beat in beats for _ in range(2)])
    return np.resize(4000 * bar, int(duration_s * rate_hz)).clip(-30_000, 30_000).astype(np.int16)


def poison(duration_s=1.0, rate_hz=8000):
    """Return samples on which `PoisonedRecognizers` die: speech, then full scale, then speech."""
    edge = speech(duration_s, rate_hz, peak=32_000)
    flat = np.full(rate_hz // 5, 32_700, np.int16)
    return np.concatenate((edge, flat, edge))


def encoded(samples, codec):
    """Return int16 *samples* as the bytes of *codec*."""
    if codec is Codec.L16:
        return samples.astype(">i2").tobytes()
    if codec is Codec.S16LE:
        return samples.astype("<i2").tobytes()
    from linewatch.decoder.recognition.frontend import A_LAW, MU_LAW  # noqa: PLC0415 - numpy alone is lighter

    table = (MU_LAW if codec is Codec.PCMU else A_LAW).astype(np.int32)
    order = np.argsort(table, kind="stable")
    levels = table[order]
    right = np.searchsorted(levels, samples).clip(1, 255)
    nearer = np.where(samples - levels[right - 1] <= levels[right] - samples, right - 1, right)
    return order[nearer].astype(np.uint8).tobytes()


def chunks(
    samples, chunk_ms=250, rate_hz=8000, *, codec=Codec.PCMU, stream="s1", seq=0, position=0
):
    """Cut int16 *samples* into numbered chunks."""
    size = chunk_ms * rate_hz // 1000
    made = []
    for begin in range(0, len(samples), size):
        piece = samples[begin : begin + size]
        audio = encoded(piece, codec)
        made.append(Chunk(seq + len(made), position + begin, stream, codec, rate_hz, audio))
    return made


def two_speakers(duration_s=20.0, rate_hz=8000, seed=0):
    """Return channel -> samples of a call in which two people speak in turns."""
    random = np.random.RandomState(seed)
    sides = {Channel.AGENT: [], Channel.CUSTOMER: []}
    told, turn = 0.0, 0
    while told < duration_s:
        for_s = float(random.uniform(0.8, 3.0))
        for place, channel in enumerate(sides):
            talks = place == turn % 2
            made = speech(for_s, rate_hz, seed + turn) if talks else silence(for_s, rate_hz)
            sides[channel] += [made, silence(0.7, rate_hz)]
        told, turn = told + for_s + 0.7, turn + 1
    return {channel: np.concatenate(parts) for channel, parts in sides.items()}


class SayingRecognizers(HashRecognizers):
    """Hear *said* in whatever is loud."""

    def __init__(self, said):
        super().__init__()
        self._said = said

    def fresh(self):
        """See `Recognizers`."""
        self.made += 1
        return _Saying(self._said)


class _Saying(HashRecognizer):
    def __init__(self, said):
        super().__init__()
        self._said = said

    def partial(self):
        return self._said if self._words else ""

    def final(self):
        return tuple(replace(word, text=self._said) for word in self._words[:1])
