"""A whole call over real sockets."""

from __future__ import annotations

import random

import pytest

from infra.launcher.redis_server import free_port
from linewatch.calls import CallStart, Channel, Codec, GapReason
from linewatch.errors import Unavailable
from linewatch.gateway.decoders import Decoders
from linewatch.gateway.line import Line, fresh_stream
from linewatch.gateway.sender import State
from tests.linewatch.gateway.stand_in import Decoder, served
from tests.support.waiting import eventually

BOTH = (Channel.CUSTOMER, Channel.AGENT)
START = CallStart("default", "line-01-x", "line-01", 1_700_000_000_000, "Sam", "billing")


def _line(*urls, read_s=0.3):
    chance = random.Random(5)
    decoders = Decoders(urls, chance=chance, read_s=read_s)
    return Line(START, BOTH, Codec.PCMU, 8000, decoders, chance=chance)


def _audio(seed, seconds=5):
    return random.Random(seed).randbytes(seconds * 8000)


def _push(line, customer, agent):
    for start in range(0, len(customer), 160):
        line.push(Channel.CUSTOMER, customer[start : start + 160])
        line.push(Channel.AGENT, agent[start : start + 160])


def test_call_goes_over_the_wire():
    """Both channels arrive whole, after the announcement, and are ended."""
    decoder = Decoder()
    customer, agent = _audio(1), _audio(2)
    with served(decoder) as url:
        line = _line(url)
        line.open()
        _push(line, customer, agent)
        assert line.close(60)
    assert decoder.fold(START.call, "customer").audio == customer
    assert decoder.fold(START.call, "agent").audio == agent
    assert all(fold.ended for fold in decoder.folds.values())
    assert [call["agent"] for call in decoder.calls] == ["Sam"]
    assert decoder.seen[0][:2] == ("POST", "/v1/calls")


@pytest.mark.parametrize("seed", range(3))
def test_faults_cost_no_audio(seed):
    """Dropped connections, lost replies, time-outs, 503s and rewinds leave both channels exact."""
    faults = ["ok", "ok", "down", "lost", "moved", "html", "forged", "forget-3"]
    script = [*random.Random(seed).choices(faults, k=30), "slow"]
    random.Random(seed).shuffle(script)
    decoder = Decoder(script)
    customer, agent = _audio(1), _audio(2)
    with served(decoder, slow_s=0.4) as url:
        line = _line(url)
        line.open()
        _push(line, customer, agent)
        assert line.close(60)
    assert decoder.fold(START.call, "customer").audio == customer
    assert decoder.fold(START.call, "agent").audio == agent


def test_dead_host_is_passed_over():
    """With one host of two dead, the call gets through by the other."""
    decoder = Decoder()
    audio = _audio(1)
    with served(decoder) as url:
        line = _line(f"http://127.0.0.1:{free_port()}", url)
        line.open()
        _push(line, audio, audio)
        assert line.close(60)
    assert decoder.fold(START.call, "agent").audio == audio


def test_each_channel_keeps_its_cookie():
    """Cookies belong to the channel they were set for."""
    decoder = Decoder()
    with served(decoder) as url:
        line = _line(url)
        line.open()
        _push(line, _audio(1), _audio(2))
        line.close(60)
    given = {"customer": [], "agent": []}
    for number, (_, path, headers) in enumerate(decoder.seen, 1):
        for channel, cookies in given.items():
            if f"/channels/{channel}/" in path:
                assert headers.get("cookie", None) == (cookies[-1] if cookies else None)
                cookies.append(f"lw={number}")
    assert all(len(cookies) > 5 for cookies in given.values())


def test_push_never_waits():
    """While nobody answers, audio is taken at once and the line is not lost."""
    line = _line(f"http://127.0.0.1:{free_port()}")
    line.open()
    # One that waited for an answer would never return.
    _push(line, _audio(1), _audio(2))
    assert not line.lost
    assert not line.close(0.2)
    assert line.sender(Channel.AGENT).state is State.ABANDONED


def test_waits_until_call_is_taken():
    """No audio is sent before the call was taken, and none is lost until then."""
    decoder = Decoder(["html", "lost", "ok"])
    audio = _audio(1, seconds=1)
    with served(decoder) as url:
        line = _line(url)
        line.open()
        _push(line, audio, audio)
        assert line.close(60)
    assert [path for _, path, _ in decoder.seen[:3]] == ["/v1/calls"] * 3
    assert decoder.fold(START.call, "customer").audio == audio


def test_refused_call_stops_the_line():
    """A call that is refused for good sends no audio, and the line says so."""
    decoder = Decoder(["unauthorized"])
    with served(decoder) as url:
        line = _line(url)
        line.open()
        assert line.wait(60)
        assert line.lost
        assert not line.ended
    assert len(decoder.seen) == 1


def test_skip_reaches_one_channel():
    """A pause of one channel moves only its own time line."""
    decoder = Decoder()
    with served(decoder) as url:
        line = _line(url)
        line.open()
        for channel in BOTH:
            line.push(channel, b"x" * 2000)
        line.skip(Channel.AGENT, 16_000, GapReason.PAUSED)
        assert line.close(60)
    assert decoder.fold(START.call, "agent").next_position == 18_000
    assert decoder.fold(START.call, "customer").next_position == 2000


def test_resumed_call_goes_on():
    """A new run of the gateway goes on where the decoder is, and nothing comes twice."""
    decoder = Decoder()
    customer, agent = _audio(1), _audio(2)
    with served(decoder) as url:
        first = _line(url)
        first.open()
        _push(first, customer[:20_000], agent[:20_000])
        eventually(lambda: all(first.sender(each).counts.sent >= 10 for each in BOTH))
        first.close(0)
        second = _line(url)
        second.resume(60)
        second.open()
        for channel, audio in ((Channel.CUSTOMER, customer), (Channel.AGENT, agent)):
            second.push(channel, audio[second.sender(channel).position :])
        assert second.close(5)
    assert decoder.fold(START.call, "customer").audio == customer
    assert decoder.fold(START.call, "agent").audio == agent


def test_resume_gives_up_in_time():
    """Where no decoder answers, resume says so instead of waiting for ever."""
    with pytest.raises(Unavailable, match="try again"):
        _line(f"http://127.0.0.1:{free_port()}").resume(0.2)


def test_finals_by_channel():
    """What was heard on a channel is kept by channel."""
    decoder = Decoder()
    decoder.finals["agent"] = [{"first_sample": 0, "text": "hello"}]
    with served(decoder) as url:
        line = _line(url)
        line.open()
        line.push(Channel.AGENT, b"x" * 2000)
        assert line.close(60)
    assert [final["text"] for final in line.finals(Channel.AGENT)] == ["hello"]
    assert line.finals(Channel.CUSTOMER) == ()


def test_streams_are_fresh():
    """Every run of a sender has an id of its own."""
    assert len({fresh_stream() for _ in range(100)}) == 100


def test_logs_no_words(caplog):
    """The log tells of the call, never of the words or of the agent's name."""
    caplog.set_level("INFO")
    decoder = Decoder()
    decoder.finals["agent"] = [{"first_sample": 0, "text": "canary4711"}]
    with served(decoder) as url:
        line = _line(url)
        line.open()
        line.close(60)
    assert "call started call=line-01-x line=line-01" in caplog.text
    assert "agent=ended" in caplog.text
    assert "canary4711" not in caplog.text
    assert "Sam" not in caplog.text
