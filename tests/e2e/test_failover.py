"""Whole decoders under kill, pause, poison and each other's forwards: not a byte differs."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from linewatch.calls import Channel, ChannelKey, Codec
from tests.support.decoders import (
    Fleet,
    differences,
    is_ready,
    line_to,
    once_each,
    outbox_is_empty,
    own_redis,
    published,
)
from tests.support.fakes import encoded, poison, silence, speech, two_speakers
from tests.support.waiting import PATIENCE_S, eventually

PIECE = 2000
#: Three seconds instead of the thirty of production; IDLE_S=30 in the environment shows those.
IDLE_S = os.environ.get("IDLE_S", "3")


def sides_of(count, duration_s=12.0):
    """Return calls with two speakers each."""
    return {
        f"call-{number}": two_speakers(duration_s, seed=number * 100) for number in range(count)
    }


def run(fleet, sides, *, disturb=lambda: None, at=0.5, pace_s=0.05, chunk_ms=250):
    """Play the calls side by side, disturb them at a part of them, return each record once."""
    lines = {
        call: line_to(fleet.urls, call, tuple(heard), chunk_ms=chunk_ms, seed=seed)
        for seed, (call, heard) in enumerate(sides.items())
    }
    disturbance = threading.Thread(target=disturb)
    for line in lines.values():
        line.open()
    longest = max(len(samples) for heard in sides.values() for samples in heard.values())
    for begin in range(0, longest, PIECE):
        if begin == int(longest // PIECE * at) * PIECE:
            disturbance.start()
        for call, line in lines.items():
            push(line, sides[call], begin)
        time.sleep(pace_s)
    assert all(line.close(timeout_s=60) for line in lines.values())
    disturbance.join()
    eventually(lambda: outbox_is_empty(fleet.redis_url))
    topics = ("utterances", "calls")
    return {topic: once_each(published(fleet.redis_url, topic, set(sides))) for topic in topics}


def push(line, heard, begin):
    """Push 250 ms of every channel."""
    for channel, samples in heard.items():
        line.push(channel, encoded(samples[begin : begin + PIECE], Codec.PCMU))


def changed(disturbed, calm):
    """Return how what the disturbed run published differs from the calm one."""
    return [told for topic in calm for told in differences(disturbed[topic], calm[topic])]


def only(calls, records_by_topic):
    """Return what is said of some calls; a record's name begins with its source."""
    mine = {call.encode() for call in calls}
    return {
        topic: {name: it for name, it in records.items() if name[0].split(b"/")[4] in mine}
        for topic, records in records_by_topic.items()
    }


@pytest.fixture(name="calm", scope="module")
def _calm(redis_port, tmp_path_factory):
    """What ten undisturbed calls publish."""
    with own_redis(tmp_path_factory.mktemp("calm")) as url, Fleet(url) as fleet:
        fleet.start(2)
        return run(fleet, sides_of(10))


def test_killed_decoder_loses_nothing(redis_url, calm):
    """Kill -9 of one of two decoders amid ten calls changes no byte of what is published."""
    with Fleet(redis_url) as fleet:
        doomed, _ = fleet.start(2)

        def kill():
            os.kill(doomed.worker, signal.SIGKILL)

        disturbed = run(fleet, sides_of(10), disturb=kill)
        adopted = fleet.metric("linewatch_decoder_adoptions_total")
    assert changed(disturbed, calm) == []
    assert adopted > 0


def test_paused_owner_is_fenced(redis_url, calm):
    """A decoder that was stopped, lost its calls and woke up again publishes nothing of its own."""
    with Fleet(redis_url) as fleet:
        zombie, _ = fleet.start(2)

        def pause():
            os.kill(zombie.worker, signal.SIGSTOP)
            time.sleep(2.5)
            os.kill(zombie.worker, signal.SIGCONT)

        disturbed = run(fleet, sides_of(10), disturb=pause)
    assert changed(disturbed, calm) == []


def test_decoders_speak_ipv6(redis_url, calm):
    """Decoders on IPv6 forward to each other and change no byte of what is published."""
    with Fleet(redis_url, BIND="::1") as fleet:
        fleet.start(2)
        found = run(fleet, sides_of(10))
        forwarded = fleet.metric("linewatch_decoder_forwards_total")
    assert changed(found, calm) == []
    assert forwarded > 0


def test_terminated_decoder_hands_over(redis_url, calm):
    """SIGTERM to one of two decoders moves its calls within the second, losing nothing."""
    with Fleet(redis_url) as fleet:
        leaving, _ = fleet.start(2)
        disturbed = run(fleet, sides_of(10), disturb=leaving.process.terminate)
        assert leaving.process.wait(60) == 0
    assert changed(disturbed, calm) == []


def test_new_decoder_takes_load(redis_url, calm):
    """A decoder that joins gets sessions from the one above its share, at an edge."""
    with Fleet(redis_url, SETTLED="2") as fleet:
        fleet.start(1)
        disturbed = run(fleet, sides_of(10), disturb=lambda: fleet.start(1), at=0.1, pace_s=0.2)
        released = fleet.metric("linewatch_decoder_releases_total")
    assert changed(disturbed, calm) == []
    assert released > 0


def test_poison_stops_at_the_third(redis_url, calm):
    """Audio that kills its decoder becomes a gap after three deaths; no other call is changed."""
    good = sides_of(4)
    bad = {Channel.CUSTOMER: np.concatenate((speech(3), silence(2), poison(1), silence(1)))}
    with Fleet(redis_url, FAKE="crash") as fleet:
        fleet.start(2)
        disturbed = run(fleet, {**good, "call-bad": bad}, pace_s=0.15)
        skipped = fleet.metric("linewatch_decoder_undecodable_total")
    gaps = [dict(r) for r in disturbed["calls"].values() if b"undecodable" in dict(r)[b"value"]]
    assert [gap[b"key"] for gap in gaps] == [b"call-bad"]
    assert skipped <= 1
    expected = only(good, calm)
    assert all(expected.values())
    assert changed(only(good, disturbed), expected) == []


def test_nobody_comes_back(redis_url):
    """Owner and sender killed after an acknowledged chunk: its words come out, the call ends."""
    key = ChannelKey("default", "call-left", Channel.CUSTOMER)
    with Fleet(redis_url, IDLE_S=IDLE_S, ABANDON_S=IDLE_S) as fleet:
        fleet.start(2)
        line = line_to(fleet.urls, key.call, (key.channel,))
        line.open()
        push(line, {key.channel: speech(0.25)}, 0)
        for begin in range(0, 8000, PIECE):
            push(line, {key.channel: speech(1)}, begin)
        eventually(lambda: fleet.metric("linewatch_decoder_steps_total") >= 4)
        os.kill(fleet.owner_of(key).worker, signal.SIGKILL)
        line.abandon()
        ended = eventually(
            lambda: (
                (b"/tenants/default/calls/call-left", b"ended")
                in published(redis_url, "calls", {key.call})
            ),
            float(IDLE_S) + PATIENCE_S,
        )
    assert ended
    assert published(redis_url, "utterances", {key.call})


def test_forwards_never_deadlock(redis_url):
    """Two decoders whose every request came to the wrong one finish, and answer probes."""
    with Fleet(redis_url, THREADS="4", DECODE_THREADS="1") as fleet:
        one, other = fleet.start(2)
        calls = [f"call-{number}" for number in range(6)]
        homes = {call: (one, other)[number % 2] for number, call in enumerate(calls)}
        firsts = {call: line_to([homes[call].url], call, (Channel.CUSTOMER,)) for call in calls}
        for line in firsts.values():
            line.open()
            push(line, {Channel.CUSTOMER: speech(0.25)}, 0)
        eventually(lambda: fleet.metric("linewatch_decoder_steps_total") == len(calls))
        wrong = {one.url: other.url, other.url: one.url}
        for call, line in firsts.items():
            line.abandon()
            away = line_to([wrong[homes[call].url]], call, (Channel.CUSTOMER,))
            away.resume(60)
            firsts[call] = away
            away.open()
        for begin in range(0, 32_000, PIECE):
            for line in firsts.values():
                push(line, {Channel.CUSTOMER: speech(4)}, begin)
        assert all(line.close(60) for line in firsts.values())
        assert fleet.metric("linewatch_decoder_forwards_total") >= len(calls) * 16
        assert all(is_ready(decoder) for decoder in fleet.decoders)
