"""Calls with fixed ids, start times and audio: played to the cluster, and to one machine."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass

from infra.model import preparation
from linewatch import events
from linewatch.calls import CallStart, Channel, Codec
from linewatch.gateway.decoders import Decoders
from linewatch.gateway.line import Line
from linewatch.gateway.playing import wav
from tests.cluster.kube import ROOT
from tests.support.decoders import (
    REAL,
    Fleet,
    differences,
    eventually,
    line_to,
    once_each,
    outbox_is_empty,
    own_redis,
    published,
)

#: One moment for both, and not so long ago that a decoder would not believe it.
STARTED_AT_MS = round(time.time()) * 1000
RATE_HZ = 8000
PIECE = RATE_HZ // 4
PIECE_S = 0.25
#: Pieces that may wait where calls are played as fast as it goes; a line's ring holds 120.
MOST_WAITING = 40
#: The recordings begin with a silence.
_SKIPPED_S = 2
TOPICS = ("utterances", "calls")
CHANNELS = (Channel.CUSTOMER, Channel.AGENT)
_ENDED = events.CALL_ENDED.encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its id and the audio of every channel."""

    call: str
    audio: dict

    @property
    def pieces(self):
        """How many pieces of 250 ms it has."""
        return -(-max(map(len, self.audio.values())) // PIECE)


def calls_of(run, count, seconds):
    """Return *count* calls of *seconds*: the demo's recordings, one after the other."""
    return [Call(f"{run}-{number}", _audio(number, seconds)) for number in range(count)]


def _audio(number, seconds):
    files = sorted((ROOT / "infra" / "recordings").glob("*.wav"))
    heard = [wav.read(each).channels for each in (*files[number:], *files[:number])]
    begin = RATE_HZ * _SKIPPED_S
    return {
        channel: b"".join(sides[side] for sides in heard)[begin : begin + RATE_HZ * seconds]
        for side, channel in enumerate(CHANNELS)
    }


class ThroughGateway:
    """Requests to one Knative Service, by the cluster's gateway and the service's host name."""

    def __init__(self, address, host, token, seed=0):
        chance = random.Random(seed)
        # A pod that starts takes the node's cores: slow is no fault of a decoder here.
        self._decoders = Decoders([f"http://{address}"], token=token, chance=chance, read_s=4.0)
        self._host = {"host": host}

    def send(self, method, path, headers, body):
        """Send one request; see `Transport.send`."""
        return self._decoders.send(method, path, {**self._host, **headers}, body)


def through_gateway(cluster):
    """Return the way of the cluster's own lines to the decoders, with their token."""
    token = cluster.secret("linewatch-line", "TOKEN")
    return ThroughGateway(cluster.gateway, cluster.host("decoder"), token)


def line_of(call, transport):
    """Return the line on which *call* is played."""
    return Line(
        CallStart("default", call.call, call.call, STARTED_AT_MS),
        tuple(call.audio),
        Codec.PCMU,
        RATE_HZ,
        transport,
        chance=random.Random(call.call),
        stream=lambda: f"{call.call}-stream",
    )


def push(line, call, number):
    """Push piece *number* of every channel."""
    for channel, audio in call.audio.items():
        line.push(channel, audio[PIECE * number : PIECE * (number + 1)])


def waiting(line):
    """Return how many pieces of a channel were not sent yet."""
    counts = [line.sender(channel).counts for channel in line.channels if not line.lost]
    return max((each.steps - each.sent for each in counts), default=0)


class Playing:
    """Calls going on side by side, in a thread of their own: at 1x, or as fast as it goes."""

    def __init__(self, calls, lines, *, live=True):
        self.calls = calls
        self.lines = lines
        self._live = live
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)

    def _run(self):
        begun_s = time.monotonic()
        for number in range(max(call.pieces for call in self.calls)):
            for call, line in zip(self.calls, self.lines, strict=True):
                push(line, call, number)
            if self._live:
                time.sleep(max(0.0, begun_s + PIECE_S * (number + 1) - time.monotonic()))
            while not self._live and max(map(waiting, self.lines)) > MOST_WAITING:
                time.sleep(0.02)

    def __enter__(self):
        for line in self.lines:
            line.open()
        self._thread.start()
        return self

    def __exit__(self, failed, *_):
        if failed:
            for line in self.lines:
                line.abandon()
        self._thread.join()

    def end(self, timeout_s=90):
        """Wait until everything was spoken and taken, and end the calls."""
        self._thread.join()
        for line in self.lines:
            line.finish()
        assert [line.start.call for line in self.lines if not line.close(timeout_s)] == []


def at_home(calls, prepared, folder):
    """Play *calls* to one decoder on this machine; return the events of every topic."""
    with (
        own_redis(folder) as url,
        Fleet(url, REAL, VOSK_MODEL_PATH=str(prepared), **preparation.decoder_env()) as fleet,
    ):
        fleet.start(1)
        lines = [
            line_to(
                fleet.urls,
                call.call,
                tuple(call.audio),
                seed=seed,
                started_at_ms=STARTED_AT_MS,
            )
            for seed, call in enumerate(calls)
        ]
        with Playing(calls, lines, live=False) as playing:
            playing.end()
        eventually(lambda: outbox_is_empty(url), 30)
        ids = {call.call for call in calls}
        return {topic: once_each(published(url, topic, ids)) for topic in TOPICS}


def changed(found, expected):
    """Return how what came out of the cluster differs from what one machine made."""
    return [
        told for topic in TOPICS for told in differences(once_each(found[topic]), expected[topic])
    ]


def assert_whole(topics, calls, expected, *, repeats=0):
    """Check that Kafka holds every event of *calls* as expected, and at most *repeats* twice."""
    ids = {call.call for call in calls}
    found = {topic: topics.published(topic, ids) for topic in TOPICS}
    told = changed(found, expected)
    assert not told, "\n".join(each[:300] for each in told[:5])
    again = [key for topic in TOPICS for key, copies in found[topic].items() if copies[1:]]
    assert len(again) <= repeats, f"{len(again)} events were written again: {again[:5]}"


def assert_complete(topics, calls):
    """Check of *calls* that every chunk was heard and every word of it written, once.

    Where models take turns the words depend on when: the calls' own account is held against
    what was sent and what was written.
    """
    accounts = [eventually(lambda call=call: _account(topics, call), 60) for call in calls]
    said = once_each(topics.published("utterances", {call.call for call in calls}))
    for call, account in zip(calls, accounts, strict=True):
        own = [event for event in said.values() if dict(event)[b"key"] == call.call.encode()]
        assert (account["reason"], account["gaps"]) == ("hangup", 0)
        assert account["chunks"] == len(call.audio) * call.pieces
        assert account["utterances"] == len(own) > 0


def _account(topics, call):
    """Return what the event of the call's end says; none before it was written."""
    told = map(dict, once_each(topics.published("calls", {call.call})).values())
    return next((json.loads(each[b"value"]) for each in told if each[b"ce_type"] == _ENDED), None)
