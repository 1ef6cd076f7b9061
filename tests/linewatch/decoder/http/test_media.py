"""The codec and rate that a content type names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Codec
from linewatch.decoder.http.media import media_type
from linewatch.errors import BadChunk, LinewatchError, UnsupportedMedia


@pytest.mark.parametrize(
    ("content_type", "codec", "rate_hz"),
    [
        ("audio/PCMU", Codec.PCMU, 8000),
        ("audio/pcma;rate=8000", Codec.PCMA, 8000),
        ("audio/L16;rate=16000", Codec.L16, 16_000),
        ("audio/L16; rate=44100; channels=1", Codec.L16, 44_100),
        ("audio/x-raw;format=S16LE;rate=48000", Codec.S16LE, 48_000),
        ("audio/x-raw; rate=11025; format=s16be", Codec.L16, 11_025),
        ("audio/PCMU; Rate=16000", Codec.PCMU, 16_000),
        ('audio/L16; rate="16000"', Codec.L16, 16_000),
        ('audio/L16 ;RATE="1\\6000" ; Channels="1";', Codec.L16, 16_000),
        ('audio/PCMU; note="a;rate=1;\\"b"', Codec.PCMU, 8000),
        (" audio/PCMU ", Codec.PCMU, 8000),
        ("audio/L16; rate=16000; rate=16000", Codec.L16, 16_000),
        ("audio/L16;rate=16000;endianness=little-endian", Codec.S16LE, 16_000),
        ("audio/L16;rate=16000;endianness=big-endian", Codec.L16, 16_000),
        (
            "audio/x-raw, rate=(int)16000, format=(string)S16LE, channels=(int)1",
            Codec.S16LE,
            16_000,
        ),
    ],
)
def test_what_is_read(content_type, codec, rate_hz):
    """The four types are read, at any rate from 8 to 48 kHz, however parameters are written."""
    assert media_type(content_type) == (codec, rate_hz)


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        ("audio/basic", Codec.PCMU),
        ("audio/mulaw", Codec.PCMU),
        ("audio/x-mulaw", Codec.PCMU),
        ("audio/ulaw", Codec.PCMU),
        ("Audio/X-uLaw", Codec.PCMU),
        ("audio/alaw", Codec.PCMA),
        ("audio/x-alaw", Codec.PCMA),
        ("audio/x-alaw-basic", Codec.PCMA),
    ],
)
def test_other_names_of_g711(kind, codec):
    """What phone systems call G.711 is read, at 8 kHz unless it says otherwise."""
    assert media_type(kind) == media_type(f"{kind};rate=8000") == (codec, 8000)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "audio/",
        "audio/wav",
        "text/plain",
        "audio/x-raw;rate=8000",
        "audio/x-raw;format=F32LE;rate=8000",
        "audio/L16;rate=16000;channels=2",
        "audio/L16;rate=16000;rate=8000",
        "audio/L16;rate=16000;endianness=middle",
        "audio/PCMU, audio/PCMU",
        "audio/PCMU audio/PCMU",
        'audio/PCMU; rate="16000',
        "audio/PCMU; =16000",
        "audio/PCMU; rate=16 000",
    ],
)
def test_others_are_unsupported(content_type):
    """Any other type, two speakers in one stream and broken parameters are 415."""
    with pytest.raises(UnsupportedMedia, match=r"send|needs"):
        media_type(content_type)


@pytest.mark.parametrize(
    "rate",
    ["", "0", "7999", "48001", "-8000", "8e3", "8000.0", "0000080001", "8000" + "0" * 5000],
)
def test_bad_rates(rate):
    """A rate that is missing, 0, no number or out of bounds is 400."""
    with pytest.raises(BadChunk, match="rate"):
        media_type(f"audio/L16;rate={rate}")


def test_basic_has_one_rate():
    """What is called audio/basic at another rate is 400: its type says 8 kHz."""
    with pytest.raises(BadChunk, match="audio/PCMU"):
        media_type("audio/basic;rate=16000")


@given(parameters=st.text(st.sampled_from('rate=8016;," \\()intx\t-')))
def test_anything_is_read_or_refused(parameters):
    """Whatever follows the type, it names a rate within bounds or is refused."""
    try:
        codec, rate_hz = media_type(f"audio/L16{parameters}")
    except LinewatchError:
        return
    assert codec is Codec.L16
    assert 8000 <= rate_hz <= 48_000
