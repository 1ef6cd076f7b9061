"""How a step lies in the tail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.calls import Chunk, Codec, End, EndReason, Gap, GapReason
from linewatch.decoder.store import packed_steps

STREAMS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}", fullmatch=True)
NUMBERS = st.integers(0, (1 << 53) - 1)
CHUNKS = st.builds(
    Chunk,
    NUMBERS,
    NUMBERS,
    STREAMS,
    st.sampled_from(Codec),
    st.integers(8000, 48_000),
    st.binary(max_size=300),
)
GAPS = st.builds(Gap, NUMBERS, NUMBERS, NUMBERS, STREAMS, st.sampled_from(GapReason))
ENDS = st.builds(End, NUMBERS, STREAMS, st.sampled_from(EndReason))
STEPS = CHUNKS | GAPS | ENDS


@given(step=STEPS)
def test_pack_and_unpack(step):
    """Any step is read back as it was."""
    assert packed_steps.unpack(packed_steps.pack(step)) == step


@given(step=STEPS, other=STEPS)
def test_fingerprint_tells_apart(step, other):
    """Equal steps have equal fingerprints of 8 bytes, different steps different ones."""
    first, second = (packed_steps.fingerprint(packed_steps.pack(each)) for each in (step, other))
    assert len(first) == 8
    assert (first == second) == (step == other)


@pytest.mark.parametrize(
    ("step", "numbers"),
    [
        (Chunk(3, 100, "s", Codec.L16, 8000, b"1234"), ("chunk", 3, 4, 100, 102)),
        (Chunk(3, 100, "s", Codec.PCMU, 8000, b"1234"), ("chunk", 3, 4, 100, 104)),
        (Gap(3, 9, 700, "s", GapReason.LOST), ("gap", 3, 9, 700, 700)),
        (End(9, "s"), ("end", 9, 10, -1, -1)),
    ],
)
def test_numbers_of_steps(step, numbers):
    """A step tells its number, the next one's, where it begins and where it ends."""
    assert packed_steps.numbers(step) == numbers


def test_head_is_a_contract():
    """A packed chunk keeps its bytes: tails of an older release are read by a newer one."""
    packed = packed_steps.pack(Chunk(1, 2, "s", Codec.PCMA, 8000, b"xy"))
    assert packed.hex() == (
        "000300001f40" "0000000000000001" "0000000000000002" "0000000000000002" "01737879"
    )  # fmt: skip


def test_enums_are_a_contract():
    """Codecs and reasons are stored by their place, so their order may only grow at the end."""
    assert [str(codec) for codec in Codec] == ["L16", "S16LE", "PCMU", "PCMA"]
    assert [str(each) for each in GapReason] == [
        "lost", "paused", "discarded", "overrun", "undecodable", "silent",
    ]  # fmt: skip
    assert [str(each) for each in EndReason] == ["hangup", "abandoned"]
