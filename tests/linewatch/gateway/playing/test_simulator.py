"""Simulated lines: new calls for ever, at exactly 1x."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from linewatch.calls import Channel, Codec
from linewatch.gateway.playing import simulator
from linewatch.gateway.playing.recording import Hold, Recording
from linewatch.gateway.playing.simulator import Plan, Simulator, call_id
from linewatch.gateway.playing.wav import Wav
from tests.linewatch.gateway.times import FakeClock

CHANNELS = (Channel.CUSTOMER, Channel.AGENT)


def _recording(name="plain", seconds=3, hold=None):
    wav = Wav(Codec.PCMU, 8000, (b"c" * 8000 * seconds, b"a" * 8000 * seconds))
    return Recording(name, wav, CHANNELS, queue=f"{name}-queue", hold=hold)


class _Line:
    """Takes audio and notes when."""

    def __init__(self, start, clock, *, lost=False, drains=True):
        self.start = start
        self.clock = clock
        self.lost = lost
        self.pushed = []
        self.opened_s = self.closed_s = None
        self._drains = drains

    def open(self):
        self.opened_s = self.clock.now_s

    def push(self, channel, audio):
        self.pushed.append((self.clock.now_s, channel, audio))

    def finish(self):
        pass

    def wait(self, timeout_s):
        if not self._drains:
            self.clock.wait(timeout_s)
        return self._drains

    def close(self, timeout_s):
        self.closed_s = self.clock.now_s
        return self._drains


def _simulated(recordings, *, until_s=1600.0, number=1, lost=False, **plan):
    clock = FakeClock(until_s=until_s)
    lines = []

    def make_line(start, recording):
        lines.append(_Line(start, clock, lost=lost))
        return lines[-1]

    settings = {"lines": 1, "seed": 7, "tenant": "default", "piece_ms": 250, **plan}
    Simulator(recordings, make_line, clock, Plan(**settings)).run_line(number)
    return lines


def test_every_call_has_a_new_id():
    """Each call on a line has an id of its own, made of the line and its start."""
    lines = _simulated([_recording()])
    ids = [line.start.call for line in lines]
    assert len(set(ids)) == len(ids) > 50
    assert all(re.fullmatch(r"line-01-\d{8}T\d{9}Z", each) for each in ids)


def test_calls_take_real_time():
    """A call of three seconds takes three seconds; 2 to 10 s lie before the next."""
    lines = _simulated([_recording()])
    for one, after in itertools.pairwise(lines[:-1]):
        assert one.closed_s - one.opened_s == pytest.approx(3.0, abs=1e-6)
        assert 2 <= after.opened_s - one.closed_s <= 10


def test_audio_leaves_when_spoken():
    """Each piece is pushed at the moment its last sample was spoken, on both channels."""
    (line, *_) = _simulated([_recording()])
    for number in range(12):
        for which, channel in enumerate(CHANNELS):
            at_s, on, audio = line.pushed[2 * number + which]
            assert at_s - line.opened_s == pytest.approx(0.25 * (number + 1))
            assert (on, len(audio)) == (channel, 2000)


def test_same_seed_same_calls():
    """The choices of a line follow from the seed and its number alone."""
    pool = [_recording(name) for name in "abcdef"]

    def told(**options):
        return [(line.start.queue, line.opened_s) for line in _simulated(pool, **options)]

    assert told() == told()
    assert told() != told(seed=8)
    assert told() != told(number=2)


def test_lines_begin_apart():
    """Lines do not all begin at the same moment."""
    first_s = {_simulated([_recording()], number=number)[0].opened_s for number in range(1, 21)}
    assert len(first_s) == 20
    assert max(first_s) - min(first_s) > 5


def test_start_tells_the_line():
    """The announcement carries line, agent, queue and direction."""
    start = _simulated([_recording("sales")], number=3)[0].start
    assert (start.line, start.queue, start.direction) == ("line-03", "sales-queue", "inbound")
    assert start.agent


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_hold_takes_its_share(share):
    """Over many calls the set share of a line's time is spent on hold."""
    hold = Hold(8000, 10 * 8000)
    pool = [_recording("p", 20), _recording("q", 24), _recording("h", 22, hold=hold)]
    plan = Plan(lines=1, seed=1, tenant="default", piece_ms=250, hold_share=share)
    drawing = Simulator(pool, None, FakeClock(), plan)
    chance = random.Random(2)
    held_s = other_s = 0.0
    for _ in range(3000):
        recording, hold_s = drawing.draw(chance)
        held = max(hold_s, 9.0) if recording.hold else 0.0
        held_s += held
        other_s += recording.duration_s - (9.0 if recording.hold else 0) + 6.0
    assert held_s / (held_s + other_s) == pytest.approx(share, abs=0.06)


def test_no_share_plays_as_recorded():
    """Without a hold share every recording is drawn, and no hold is stretched."""
    pool = [_recording("p"), _recording("h", hold=Hold(8000, 16_000))]
    plan = Plan(lines=1, seed=1, tenant="default", piece_ms=250)
    drawn = [Simulator(pool, None, FakeClock(), plan).draw(random.Random(n)) for n in range(40)]
    assert {recording.name for recording, _ in drawn} == {"p", "h"}
    assert {hold_s for _, hold_s in drawn} == {0.0}


def test_prefix_tells_processes_apart():
    """Two processes with a prefix each name their lines, calls and draws apart."""
    pool = [_recording(f"r{n}") for n in range(9)]
    ours, others = (_simulated(pool, prefix=prefix) for prefix in ("gateway-a", "gateway-b"))
    assert {line.start.line for line in ours} == {"gateway-a-01"}
    assert ours[0].start.call.startswith("gateway-a-01-")
    assert [line.start.queue for line in ours] != [line.start.queue for line in others]


def test_stop_ends_the_call():
    """When it is time to stop, the call going on is closed and no other begins."""
    lines = _simulated([_recording(seconds=60)], until_s=1030.0)
    assert len(lines) == 1
    assert lines[0].closed_s == pytest.approx(1030.0, abs=0.3)


def test_lost_line_is_left():
    """A call that cannot be sent is closed early, and the next one is tried."""
    lines = _simulated([_recording(seconds=60)], until_s=1100.0, lost=True)
    assert len(lines) > 5
    assert all(line.pushed == [] for line in lines)


def test_drain_has_a_limit():
    """A call whose end nobody takes is given up after half a minute."""
    clock = FakeClock()
    line = _Line(None, clock, drains=False)
    assert not simulator.play(line, _recording(), clock, piece_ms=250)
    assert clock.now_s - 1003.0 == pytest.approx(simulator.DRAIN_S, abs=0.5)


def test_run_starts_every_line():
    """As many lines run as were asked for, each under its own name, and all end."""
    clock = FakeClock()
    seen = set()

    def make_line(start, recording):
        seen.add(start.line)
        if len(seen) == 5:
            clock.stop.set()
        return _Line(start, clock)

    plan = Plan(lines=5, seed=1, tenant="default", piece_ms=250)
    Simulator([_recording(seconds=1)], make_line, clock, plan).run()
    assert seen == {f"line-0{number}" for number in range(1, 6)}


def test_call_id_from_start():
    """An id is the line and the UTC time to the millisecond."""
    assert call_id("line-01", 1_700_000_000_007) == "line-01-20231114T221320007Z"


def test_any_call_can_hold():
    """A call without a hold of its own is put on hold in a pause between two turns."""
    held = Recording("p", _recording("p", 4).wav, CHANNELS, pause=Hold(8000, 12_000))
    natural = [len(piece[CHANNELS[0]]) for piece in held.pieces(250)]
    stretched = [len(piece[CHANNELS[0]]) for piece in held.pieces(250, hold_s=6)]
    width = held.wav.codec.sample_bytes
    assert sum(natural) == 4 * 8000 * width
    assert sum(stretched) == sum(natural) + (6 * 8000 - 4000) * width
