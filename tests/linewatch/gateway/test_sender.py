"""A channel's sender against a decoder that fails in every way it may."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch.calls import Channel, ChannelKey, Chunk, Codec, GapReason
from linewatch.gateway.sender import ChannelSender, State
from tests.linewatch.gateway.stand_in import Decoder

KEY = ChannelKey.of("default", "line-01-x", Channel.CUSTOMER)
RATE_HZ = 8000
FAULTS = [
    "ok",
    "ok",
    "ok",
    "down",
    "lost",
    "503",
    "moved",
    "forged",
    "html",
    "forget-1",
    "forget-9",
]


def _sender_to(decoder, **options):
    return ChannelSender(
        KEY,
        1_700_000_000_000,
        Codec.PCMU,
        RATE_HZ,
        decoder,
        **{"stream": "run-1", "chance": random.Random(1), **options},
    )


def _pump(sender, limit=10_000):
    """Send until nothing is due; the waits are only counted."""
    waited_s = 0.0
    for _ in range(limit):
        wait_s = sender.step()
        if wait_s is None:
            return waited_s
        waited_s += wait_s
    pytest.fail("the sender never came to rest")


def _noise(length, seed=0):
    return random.Random(seed).randbytes(length)


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 5000), max_size=30).filter(any),
    faults=st.lists(st.sampled_from(FAULTS), max_size=80),
    eager=st.booleans(),
)
def test_accepted_once_in_order(pieces, faults, eager):
    """Whatever goes wrong, the decoder has exactly the audio, in order, once, and the end."""
    decoder = Decoder(faults)
    sender = _sender_to(decoder)
    audio = _noise(sum(pieces))
    position = 0
    for size in pieces:
        sender.push(audio[position : position + size])
        position += size
        if eager:
            sender.step()
    sender.finish()
    _pump(sender)
    assert State.ENDED is sender.state
    assert audio == decoder.only().audio
    assert decoder.only().ended
    assert decoder.only().gaps == []


@settings(max_examples=100, deadline=None)
@given(
    late=st.integers(0, 90),
    faults=st.lists(st.sampled_from([*FAULTS, "forget-40"]), max_size=60),
)
def test_time_line_stays_whole(late, faults):
    """With a ring too small, audio and gaps cover the call, each in its place."""
    decoder = Decoder(faults)
    sender = _sender_to(decoder, ring_s=2)
    audio = _noise(100 * 2000)
    for number in range(100):
        sender.push(audio[number * 2000 : (number + 1) * 2000])
        if number >= late:
            sender.step()
    sender.finish()
    _pump(sender)
    position = 0
    for _, end, step in decoder.only().kept:
        if isinstance(step, Chunk):
            assert step.position == position
            assert step.audio == audio[position:end]
        position = end
    assert len(audio) == position
    assert audio[-2000:] == decoder.only().audio[-2000:]


def test_cuts_chunks_of_set_length():
    """Frames of any size go out as chunks of 250 ms, the rest at the end."""
    decoder = Decoder()
    sender = _sender_to(decoder)
    for _ in range(26):
        sender.push(b"x" * 160)
    sender.finish()
    _pump(sender)
    steps = [step for _, _, step in decoder.only().kept if isinstance(step, Chunk)]
    assert [step.samples for step in steps] == [2000, 2000, 160]
    assert [step.position for step in steps] == [0, 2000, 4000]


def test_never_splits_a_sample():
    """A 16-bit sample that arrives in two pushes is sent whole."""
    decoder = Decoder()
    sender = ChannelSender(
        KEY, 0, Codec.S16LE, 8000, decoder, stream="run-1", chance=random.Random(1)
    )
    audio = _noise(8001)
    sender.push(audio[:4001])
    sender.push(audio[4001:])
    sender.finish()
    _pump(sender)
    assert audio[:8000] == decoder.only().audio


def test_outage_within_ring_loses_nothing():
    """Twenty-nine seconds without any decoder cost no audio: all of it is sent afterwards."""
    decoder = Decoder(["down"] * 40)
    sender = _sender_to(decoder)
    audio = _noise(29 * RATE_HZ)
    for start in range(0, len(audio), 2000):
        sender.push(audio[start : start + 2000])
        if start % 8000 == 0:
            sender.step()
    sender.finish()
    _pump(sender)
    assert audio == decoder.only().audio


def test_overrun_is_told():
    """More than the ring holds without a decoder becomes one gap that says overrun."""
    decoder = Decoder()
    sender = _sender_to(decoder, ring_s=2)
    sender.push(_noise(10 * RATE_HZ))
    sender.finish()
    _pump(sender)
    (gap,) = decoder.only().gaps
    assert (gap["reason"], gap["from_seq"], gap["position"]) == ("overrun", 0, 8 * RATE_HZ)


def test_refused_beyond_ring_begins():
    """Who speaks on and is refused for longer than the ring holds begins once there is room."""
    decoder = Decoder()
    sender = _sender_to(decoder, ring_s=2)
    audio = _noise(60 * RATE_HZ)
    decoder.is_full = True
    for start in range(0, 50 * RATE_HZ, 2000):
        sender.push(audio[start : start + 2000])
        if start % RATE_HZ == 0:
            sender.step()
    assert sum(path.endswith("/gap?after=-1") for _, path, _ in decoder.seen) == 1
    decoder.is_full = False
    sender.push(audio[50 * RATE_HZ :])
    sender.finish()
    _pump(sender)
    assert State.ENDED is sender.state
    (gap,) = decoder.only().gaps
    assert (gap["reason"], gap["from_seq"], gap["position"]) == ("overrun", 0, 58 * RATE_HZ)
    assert audio[58 * RATE_HZ :] == decoder.only().audio


def test_paused_before_first_word():
    """A channel that begins with a pause is made by its first audio, and the pause is told."""
    decoder = Decoder()
    sender = _sender_to(decoder)
    sender.skip(8000, GapReason.PAUSED)
    assert sender.step() > 0
    sender.push(b"b" * 2000)
    sender.finish()
    _pump(sender)
    assert [(gap["reason"], gap["position"]) for gap in decoder.only().gaps] == [("paused", 8000)]
    assert decoder.only().next_position == 10_000


@pytest.mark.parametrize("pause", [0, 8000])
def test_silent_channel_ends(pause):
    """A channel that brought no audio at all ends, though no decoder ever made it."""
    sender = _sender_to(Decoder())
    if pause:
        sender.skip(pause, GapReason.PAUSED)
    sender.finish()
    _pump(sender)
    assert State.ENDED is sender.state


def test_forgotten_beyond_ring_is_lost():
    """A decoder that forgot more than the ring holds is told of a gap that says lost."""
    decoder = Decoder()
    sender = _sender_to(decoder, ring_s=2)
    sender.push(_noise(10 * RATE_HZ)[: 2 * RATE_HZ])
    _pump(sender)
    for _ in range(32):
        sender.push(_noise(2000))
        _pump(sender)
    decoder.faults.append("forget-30")
    sender.push(_noise(2000))
    sender.finish()
    _pump(sender)
    assert [gap["reason"] for gap in decoder.only().gaps] == ["lost"]
    assert State.ENDED is sender.state


def test_skip_keeps_the_time_line():
    """Audio that will never come moves the position on and is told with its reason."""
    decoder = Decoder()
    sender = _sender_to(decoder)
    sender.push(b"a" * 3000)
    sender.skip(8000, GapReason.PAUSED)
    sender.push(b"b" * 2000)
    sender.finish()
    _pump(sender)
    fold = decoder.only()
    assert 13_000 == fold.next_position == sender.position
    assert [
        (gap["reason"], gap["from_seq"], gap["next_seq"], gap["position"]) for gap in fold.gaps
    ] == [("paused", 2, 3, 11_000)]


def test_cookie_comes_back():
    """The newest cookie of the decoder is sent with the next request."""
    decoder = Decoder()
    sender = _sender_to(decoder)
    sender.push(_noise(6000))
    _pump(sender)
    assert [headers.get("cookie") for _, _, headers in decoder.seen] == [None, "lw=1", "lw=2"]


def test_forged_cookie_is_dropped():
    """A cookie that is refused is forgotten, and the chunk sent again without it."""
    decoder = Decoder(["ok", "forged"])
    sender = _sender_to(decoder)
    sender.push(_noise(4000))
    _pump(sender)
    assert _noise(4000) == decoder.only().audio
    assert "cookie" not in decoder.seen[2][2]


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("replaced", State.REPLACED),
        ("ended", State.GONE),
        ("unauthorized", State.FAILED),
    ],
)
def test_stops_where_told(fault, state):
    """A newer run, an ended call and a refused token each stop the sender for good."""
    decoder = Decoder([fault])
    sender = _sender_to(decoder)
    sender.push(_noise(4000))
    _pump(sender)
    sender.push(_noise(4000))
    assert state is sender.state
    assert len(decoder.seen) == 1


def test_end_of_ended_is_done():
    """A call that was ended meanwhile counts as ended when the sender wants to end it."""
    decoder = Decoder(["ended"])
    sender = _sender_to(decoder)
    sender.finish()
    _pump(sender)
    assert State.ENDED is sender.state


def test_foreign_numbers_fail():
    """A decoder that has more steps than were ever sent speaks of another sender."""
    decoder = Decoder()
    decoder.fold(KEY.call, KEY.channel).first_seq = 50
    sender = _sender_to(decoder)
    sender.push(_noise(2000))
    _pump(sender)
    assert State.FAILED is sender.state


def test_retry_after_is_kept():
    """A 503 is not asked again before its Retry-After."""
    decoder = Decoder(["503"])
    sender = _sender_to(decoder)
    sender.push(_noise(2000))
    wait_s = sender.step()
    assert 1.0 <= wait_s <= 1.2
    assert sender.step() == 0.0


def test_finals_come_once():
    """Each final is kept once, though a rewound decoder tells it again."""
    decoder = Decoder()
    first, second = ({"first_sample": at, "text": str(at)} for at in (0, 9000))
    decoder.finals["customer"] = [first]
    sender = _sender_to(decoder)
    sender.push(_noise(4000))
    _pump(sender)
    decoder.finals["customer"] = [first, second]
    sender.finish()
    _pump(sender)
    assert (first, second) == sender.finals
    assert decoder.seen[0][1] == "/v1/calls/line-01-x/channels/customer/audio?after=-1"
    assert decoder.seen[-1][1].endswith("/end?after=0")


def test_restarted_sender_goes_on():
    """A second run asks for the state and goes on there with a stream of its own."""
    decoder = Decoder()
    audio = _noise(10_000)
    first = _sender_to(decoder)
    first.push(audio[:4000])
    _pump(first)
    second = _sender_to(decoder, stream="run-2")
    assert second.resume() is None
    second.push(audio[second.position :])
    second.finish()
    _pump(second)
    assert audio == decoder.only().audio
    assert decoder.only().stream == "run-2"


def test_resume_of_unknown_starts_anew():
    """A channel no decoder knows is begun at its first sample."""
    sender = _sender_to(Decoder())
    assert sender.resume() is None
    assert sender.position == 0


def test_resume_waits_for_decoder():
    """While no decoder answers, resume asks to be called again."""
    sender = _sender_to(Decoder(["down", "503", "html"]))
    assert [sender.resume() is not None for _ in range(4)] == [True, True, True, False]


def test_abandon_stops_at_once():
    """An abandoned sender sends nothing more."""
    decoder = Decoder()
    sender = _sender_to(decoder)
    sender.push(_noise(8000))
    sender.abandon()
    assert sender.step() is None
    assert decoder.seen == []
    assert sender.wait(0)


def _chunk(seq, position, audio, stream="run-1"):
    return Chunk(seq, position, stream, Codec.PCMU, RATE_HZ, audio)


def test_sequence_conflict_goes_on():
    """A number that was taken with other bytes is not sent again: the rest goes on after it."""
    decoder = Decoder()
    decoder.fold(KEY.call, KEY.channel).chunk(_chunk(0, 0, _noise(2000, 7)))
    sender = _sender_to(decoder)
    audio = _noise(6000)
    sender.push(audio)
    sender.finish()
    _pump(sender)
    assert sender.state is State.ENDED
    assert decoder.only().audio == _noise(2000, 7) + audio[2000:]
    assert sender.counts.rewinds == 1


def test_position_conflict_fails(caplog):
    """A sender whose audio was heard already, under another stream, stops and says so."""
    decoder = Decoder()
    decoder.fold(KEY.call, KEY.channel).chunk(_chunk(0, 0, _noise(8000, 7), "run-0"))
    sender = _sender_to(decoder)
    sender.push(_noise(6000))
    _pump(sender)
    assert sender.state is State.FAILED
    assert "position-conflict" in caplog.text
    assert decoder.only().audio == _noise(8000, 7)
