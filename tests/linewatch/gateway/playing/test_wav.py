"""The wav reader: what it reads, and what it refuses."""

from __future__ import annotations

import math
import os
import struct
import threading
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Codec
from linewatch.errors import BadRequest, LinewatchError, TooLarge, UnsupportedMedia
from linewatch.gateway.playing import wav


def _wav(data, *, tag=7, bits=8, count=2, rate_hz=8000, claimed=None, more=b"", frame=0):
    form = struct.pack("<HHIIHH", tag, count, rate_hz, 0, frame, bits) + more
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


@pytest.mark.parametrize(
    ("tag", "bits", "data", "samples"),
    [
        (1, 8, bytes((0, 127, 128, 255)), (-32768, -256, 0, 32512)),
        (1, 16, struct.pack("<2h", -32768, 32767), (-32768, 32767)),
        (1, 24, b"\xff\xff\x7f\0\0\x80\xff\xff\xff\0\1\0", (32767, -32768, -1, 1)),
        (1, 20, b"\xf0\xff\x7f\0\0\x80", (32767, -32768)),
        (1, 32, struct.pack("<3i", 2147483647, -2147483648, 65536), (32767, -32768, 1)),
        (
            3,
            32,
            struct.pack("<5f", -1, 1, 0.5, 9, -math.inf),
            (-32768, 32767, 16384, 32767, -32768),
        ),
        (3, 64, struct.pack("<4d", -2, math.inf, math.nan, 2**-15), (-32768, 32767, 0, 1)),
    ],
)
def test_brings_pcm_to_16_bits(tag, bits, data, samples):
    """PCM of 8 to 32 bits and floats of 32 and 64 bits are played as 16 bits."""
    found = wav.parse(_wav(data, tag=tag, bits=bits, count=1))
    assert (found.codec, found.samples) == (Codec.S16LE, len(samples))
    assert struct.unpack(f"<{len(samples)}h", found.channels[0]) == samples


def test_wide_samples_may_lie_in_four_bytes():
    """Samples of 24 bits in frames of 4 bytes are read from the highest bit down."""
    data = struct.pack("<2i", 256 << 16, -1 << 8)
    found = wav.parse(_wav(data, tag=1, bits=24, count=1, frame=4))
    assert struct.unpack("<2h", found.channels[0]) == (256, -1)


def test_drops_half_a_frame(caplog):
    """A file cut within a frame loses that frame only, and a warning says so."""
    assert wav.parse(_wav(b"lrlrl"), "x.wav").channels == (b"ll", b"rr")
    (said,) = caplog.messages
    assert said == "x.wav is cut in the middle of a sample: 1 B at its end are left out"


def test_whole_file_warns_of_nothing(caplog):
    """A file of whole samples is read without a warning."""
    wav.parse(_wav(b"lrlr"))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", BadRequest),
        (b"RIFF\0\0\0\0WAVX" + bytes(40), BadRequest),
        (_wav(b"lr")[:30], BadRequest),
        (_wav(b"lr")[:12], BadRequest),
        (_wav(b""), BadRequest),
        (_wav(b"l"), BadRequest),
        (b"RIFF\0\0\0\0WAVEdata" + struct.pack("<I", 2) + b"lr", BadRequest),
        (_wav(b"lr", rate_hz=0), UnsupportedMedia),
        (_wav(b"lr", rate_hz=192_000), UnsupportedMedia),
        (_wav(b"lr", count=0), UnsupportedMedia),
        (_wav(b"lrlrlr", count=6), UnsupportedMedia),
        (_wav(b"lrlr", tag=1, bits=64), UnsupportedMedia),
        (_wav(b"lrlr", tag=3, bits=16), UnsupportedMedia),
        (_wav(b"lrlr", tag=0x11, bits=4), UnsupportedMedia),
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


def test_reads_from_a_pipe(tmp_path):
    """A pipe is read to its end, however late that comes."""
    pipe, whole = tmp_path / "pipe", _wav(b"lr" * 100_000, claimed=0)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(whole,))
    writer.start()
    assert wav.read(pipe).samples == 100_000
    writer.join()


def test_endless_pipe_is_refused(tmp_path, monkeypatch):
    """A pipe that brings more than a file may hold is refused, and read no further."""
    monkeypatch.setattr(wav, "LARGEST_BYTES", 1000)
    (tmp_path / "x.wav").symlink_to("/dev/zero")
    with pytest.raises(TooLarge):
        wav.read(tmp_path / "x.wav")


def test_huge_file_is_not_read(tmp_path):
    """A file of more than 256 MiB is refused by its size alone."""
    path = tmp_path / "huge.wav"
    with path.open("wb") as out:
        out.truncate(wav.LARGEST_BYTES + 1)
    with pytest.raises(TooLarge):
        wav.read(path)
