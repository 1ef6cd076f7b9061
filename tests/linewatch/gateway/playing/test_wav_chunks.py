"""The containers of wav files, whole and as recorders and pipes leave them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.errors import BadRequest
from linewatch.gateway.playing import wav
from linewatch.gateway.playing.wav_chunks import chunks

_UNKNOWN = 0xFFFFFFFF
_FORM = struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8)
_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def _chunk(name, body, *, claimed=None, pad=b"\0"):
    size = len(body) if claimed is None else claimed
    return name + struct.pack("<I", size) + body + (pad if len(body) % 2 else b"")


def _riff(*parts, kind=b"RIFF"):
    return kind + struct.pack("<I", _UNKNOWN) + b"WAVE" + b"".join(parts)


def _w64(*parts):
    made = [b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + bytes(8) + b"wave" + _W64]
    for name, body, claimed in parts:
        size = 24 + len(body) if claimed is None else claimed
        made.append(name + _W64 + struct.pack("<Q", size) + body + bytes(-len(body) % 8))
    return b"".join(made)


def _audio(raw):
    return wav.parse(raw).channels[0]


FORM = _chunk(b"fmt ", _FORM)
LIST = _chunk(b"LIST", b"INFOISFT")
SOUND = b"\x7f\xfe\0\0abc\xff"


@pytest.mark.parametrize("claimed", [0, _UNKNOWN, 0x7FFFFFFF, 0x7FFFF000, 1000])
def test_data_is_as_long_as_the_file(claimed):
    """A length of 0, of gigabytes or beyond the file means all that is there."""
    assert _audio(_riff(FORM, LIST, _chunk(b"data", SOUND, claimed=claimed))) == SOUND


def test_empty_data_before_chunks_is_empty():
    """A length of 0 is what it says where chunks follow up to the file's end."""
    empty = _chunk(b"data", b"")
    assert _audio(_riff(FORM, empty, LIST, _chunk(b"data", SOUND), LIST)) == SOUND
    with pytest.raises(BadRequest, match="no audio"):
        _audio(_riff(FORM, empty, LIST))


def test_other_chunks_may_stand_anywhere():
    """Chunks of other names stand before, between and after; the format may follow the data."""
    bext, fact = _chunk(b"bext", bytes(602)), _chunk(b"fact", bytes(4))
    assert _audio(_riff(bext, LIST, FORM, fact, _chunk(b"data", SOUND), LIST)) == SOUND
    assert _audio(_riff(LIST, _chunk(b"data", SOUND), FORM)) == SOUND


def test_data_may_be_in_pieces():
    """Several data chunks are one recording, in their order."""
    pieces = [_chunk(b"data", piece) for piece in (b"abc", b"d", b"ef")]
    assert _audio(_riff(FORM, pieces[0], LIST, *pieces[1:])) == b"abcdef"


@pytest.mark.parametrize("pad", [b"\0", b"", b"x", b"\xff"])
def test_pad_byte_may_be_missing(pad):
    """After an odd chunk the next is found, whether it is padded, by what byte ever, or not."""
    odd = [_chunk(name, b"abc", pad=pad) for name in (b"LIST", b"data")]
    assert _audio(_riff(FORM, *odd, LIST, _chunk(b"data", SOUND))) == b"abc" + SOUND
    assert _audio(_riff(odd[0], FORM, odd[1])) == b"abc"


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize(("size", "heard"), [(8, 8), (6, 6), (0, 8), (1 << 40, 8)])
def test_reads_long_riff(kind, size, heard):
    """RF64 and BW64 tell the data's length in ds64; one that cannot be is the file's."""
    ds64 = _chunk(b"ds64", struct.pack("<QQQI", 0, size, 0, 0))
    data = _chunk(b"data", SOUND, claimed=_UNKNOWN)
    assert _audio(_riff(ds64, FORM, data, kind=kind)) == SOUND[:heard]


@pytest.mark.parametrize("claimed", [None, 0, 24, 1 << 50])
def test_reads_wave64(claimed):
    """Wave64 counts a chunk's head and pads to 8 bytes; a length that cannot be is the file's."""
    fact = (b"fact", b"abcde", None)
    assert _audio(_w64(fact, (b"fmt ", _FORM, None), (b"data", SOUND, claimed))) == SOUND


@pytest.mark.parametrize(
    "raw", [b"", b"RIFX" + bytes(60), b"ID3\3" + bytes(60), b"riff" + bytes(60)]
)
def test_other_files_are_refused(raw):
    """What is no wav file is refused with one line that says what one looks like."""
    with pytest.raises(BadRequest, match=r"not a wav file: it must begin with RIFF") as caught:
        chunks(raw)
    assert "\n" not in caught.value.detail


@given(st.binary(max_size=80))
def test_chunks_end(garbage):
    """Whatever stands in a file, its chunks end, and hold no more than it does."""
    for raw in (_riff(garbage), _w64((garbage[:4].ljust(4), garbage, None)) + garbage):
        assert sum(len(body) for _, body in chunks(raw)) <= len(raw)
