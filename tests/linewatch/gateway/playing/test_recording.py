"""Recorded calls, their channels and their hold."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Channel, Codec
from linewatch.errors import BadRequest, SettingsError
from linewatch.gateway.playing.recording import Hold, Recording, read_folder
from linewatch.gateway.playing.wav import Wav

LEFT = bytes(i % 251 for i in range(20_000))
RIGHT = bytes(i % 241 for i in range(20_000))
STEREO = (Channel.CUSTOMER, Channel.AGENT)


def _recording(hold=None):
    return Recording("call", Wav(Codec.PCMU, 8000, (LEFT, RIGHT)), STEREO, hold=hold)


def _joined(pieces, channel):
    return b"".join(piece[channel] for piece in pieces)


def _write(path, count=2, seconds=1):
    form = struct.pack("<HHIIHH", 7, count, 8000, 0, 0, 8)
    data = bytes(8000 * seconds * count)
    parts = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts)
    return path


@given(st.integers(20, 4000), st.integers(0, 25_000))
def test_pieces_are_the_whole(piece_ms, start):
    """The pieces joined are the recording from the start asked for, on both channels."""
    pieces = list(_recording().pieces(piece_ms, start=start))
    assert _joined(pieces, Channel.CUSTOMER) == LEFT[start:]
    assert _joined(pieces, Channel.AGENT) == RIGHT[start:]
    assert all(len(piece[Channel.AGENT]) <= 8 * piece_ms for piece in pieces)


def test_hold_plays_once_by_itself():
    """Without a length asked for, the hold is as long as it was recorded."""
    pieces = list(_recording(Hold(8000, 12_000)).pieces(250))
    assert _joined(pieces, Channel.AGENT) == RIGHT


def test_hold_is_repeated():
    """A longer hold is the recorded one again and again; what follows comes after it."""
    pieces = list(_recording(Hold(8000, 12_000)).pieces(250, hold_s=1.25))
    expected = RIGHT[:8000] + RIGHT[8000:12_000] * 2 + RIGHT[8000:10_000] + RIGHT[12_000:]
    assert _joined(pieces, Channel.AGENT) == expected


def test_wide_samples_stay_whole():
    """Pieces of 16-bit audio are cut between samples."""
    wide = Recording("wide", Wav(Codec.S16LE, 8000, (LEFT,)), (Channel.MIXED,))
    pieces = list(wide.pieces(33))
    assert all(len(piece[Channel.MIXED]) % 2 == 0 for piece in pieces)
    assert _joined(pieces, Channel.MIXED) == LEFT


@pytest.mark.parametrize(
    ("count", "named", "expected"),
    [
        (1, (), (Channel.MIXED,)),
        (2, (), STEREO),
        (2, (Channel.AGENT, Channel.CUSTOMER), (Channel.AGENT, Channel.CUSTOMER)),
        (1, (Channel.AGENT,), (Channel.AGENT,)),
    ],
)
def test_channels_have_names(tmp_path, count, named, expected):
    """Left is the customer, mono is mixed, unless said otherwise."""
    found = Recording.of_file(_write(tmp_path / "x.wav", count), named)
    assert found.channels == expected
    assert found.duration_s == 1.0


@pytest.mark.parametrize("named", [(Channel.AGENT,), (Channel.AGENT, Channel.AGENT)])
def test_wrong_names_are_refused(tmp_path, named):
    """Two channels need two different names."""
    with pytest.raises(BadRequest, match="name each once"):
        Recording.of_file(_write(tmp_path / "x.wav"), named)


def test_folder_tells_of_calls(tmp_path):
    """The manifest adds the queue, direction and hold; a file it does not name is plain."""
    _write(tmp_path / "a.wav", seconds=3)
    _write(tmp_path / "b.wav")
    call = {"file": "a.wav", "queue": "billing", "direction": "outbound", "hold": [8000, 16_000]}
    (tmp_path / "calls.json").write_text(json.dumps({"calls": [call]}))
    first, second = read_folder(tmp_path)
    assert (first.name, first.queue, first.direction) == ("a", "billing", "outbound")
    assert first.hold == Hold(8000, 16_000)
    assert (second.queue, second.direction, second.hold) == ("", "inbound", None)


@pytest.mark.parametrize(
    "manifest",
    ["{", "[]", '{"calls": [{}]}', '{"calls": [{"file": "a.wav", "hold": [0, 9000]}]}'],
)
def test_broken_manifest_stops_the_start(tmp_path, manifest):
    """A manifest that cannot be read, or does not fit, stops the start."""
    _write(tmp_path / "a.wav")
    (tmp_path / "calls.json").write_text(manifest)
    with pytest.raises(SettingsError):
        read_folder(tmp_path)


def test_empty_folder_stops_the_start(tmp_path):
    """A folder without recordings has nothing to simulate."""
    with pytest.raises(SettingsError, match="CALLS_DIR"):
        read_folder(tmp_path)
