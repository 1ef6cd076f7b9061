"""The wav reader: what it reads, and what it refuses."""

from __future__ import annotations

import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Codec
from linewatch.errors import BadRequest, LinewatchError, TooLarge, UnsupportedMedia
from linewatch.gateway.playing import wav

_LAST = 0xFFFFFFFF


def _wav(data, *, tag=7, bits=8, count=2, rate_hz=8000, claimed=None, more=b""):
    form = struct.pack("<HHIIHH", tag, count, rate_hz, 0, 0, bits) + more
    parts = b"fmt " + struct.pack("<I", len(form)) + form
    size = len(data) if claimed is None else claimed
    parts += b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts


def test_splits_mu_law_stereo():
    """The left channel's bytes come first, the right one's second."""
    found = wav.parse(_wav(b"lrlrlr"))
    assert found == wav.Wav(Codec.PCMU, 8000, (b"lll", b"rrr"))
    assert found.samples == 3


def test_reads_a_law_mono():
    """A-law is told from mu-law by its format tag."""
    found = wav.parse(_wav(b"abc", tag=6, count=1))
    assert found == wav.Wav(Codec.PCMA, 8000, (b"abc",))


@pytest.mark.parametrize("count", [1, 2])
def test_reads_what_stdlib_writes(tmp_path, count):
    """PCM written by Python's own wave module comes back sample by sample."""
    path = tmp_path / "pcm.wav"
    frames = struct.pack("<8h", *range(-4, 4))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(count)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(frames)
    found = wav.read(path)
    samples = struct.unpack("<8h", frames)
    assert (found.codec, found.rate_hz) == (Codec.S16LE, 16000)
    for number, channel in enumerate(found.channels):
        expected = samples[number::count]
        assert channel == struct.pack(f"<{len(expected)}h", *expected)


def test_reads_extensible_format():
    """The extensible format names its codec in the sub-format."""
    more = struct.pack("<HHIH", 22, 8, 3, 7) + bytes(14)
    assert wav.parse(_wav(b"lr", tag=0xFFFE, more=more)).codec is Codec.PCMU


def test_skips_unknown_chunks():
    """Chunks of other names, of odd length too, are passed over."""
    plain = _wav(b"lrlr")
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert wav.parse(plain[:12] + odd + plain[12:]) == wav.parse(plain)


@pytest.mark.parametrize("claimed", [_LAST, 0x7FFFFFFF, 1000])
def test_trusts_length_not_header(claimed):
    """A header that promises gigabytes gets what the file holds, and no memory for the rest."""
    assert wav.parse(_wav(b"lrlr", claimed=claimed)).channels == (b"ll", b"rr")


def test_drops_half_a_frame():
    """A file cut within a frame loses that frame only."""
    assert wav.parse(_wav(b"lrlrl")).channels == (b"ll", b"rr")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", BadRequest),
        (b"RIFF\0\0\0\0WAVX" + bytes(40), BadRequest),
        (_wav(b"lr")[:30], BadRequest),
        (_wav(b"lr")[:12], BadRequest),
        (_wav(b""), BadRequest),
        (_wav(b"lr", claimed=0), BadRequest),
        (b"RIFF\0\0\0\0WAVEdata" + struct.pack("<I", 2) + b"lr", BadRequest),
        (_wav(b"lr", rate_hz=0), UnsupportedMedia),
        (_wav(b"lr", rate_hz=192_000), UnsupportedMedia),
        (_wav(b"lr", count=0), UnsupportedMedia),
        (_wav(b"lrlrlr", count=6), UnsupportedMedia),
        (_wav(b"lrlr", tag=1, bits=24), UnsupportedMedia),
        (_wav(b"lrlr", tag=3, bits=32), UnsupportedMedia),
        (_wav(b"lr", tag=0x55, bits=0), UnsupportedMedia),
    ],
)
def test_refuses_with_reason(raw, error):
    """A file that cannot be read is refused by an error that says why."""
    with pytest.raises(error) as refused:
        wav.parse(raw)
    assert len(refused.value.detail) > 20


@given(st.binary(max_size=200), st.integers(0, 60))
def test_garbage_never_crashes(garbage, at):
    """Whatever bytes stand in a file, it is read or refused."""
    plain = _wav(b"lrlrlrlr")
    try:
        found = wav.parse(plain[:at] + garbage + plain[at + len(garbage) :])
    except LinewatchError:
        return
    assert sum(map(len, found.channels)) <= len(plain) + len(garbage)


def test_missing_file_is_named(tmp_path):
    """A file that is not there is named in the error, without its folder."""
    with pytest.raises(BadRequest, match=r"^none\.wav cannot be read"):
        wav.read(tmp_path / "none.wav")


@pytest.mark.parametrize("raw", [b"junk", _wav(b"lr", count=3)])
def test_broken_file_is_named(tmp_path, raw):
    """A file that is refused is named in the error."""
    path = tmp_path / "broken.wav"
    path.write_bytes(raw)
    with pytest.raises(LinewatchError, match=r"^broken\.wav: "):
        wav.read(path)


def test_huge_file_is_not_read(tmp_path):
    """A file of more than 256 MiB is refused by its size alone."""
    path = tmp_path / "huge.wav"
    with path.open("wb") as out:
        out.truncate(wav.LARGEST_BYTES + 1)
    with pytest.raises(TooLarge):
        wav.read(path)
