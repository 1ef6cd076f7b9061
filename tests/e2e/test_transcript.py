"""Ten real calls on Vosk, one of two decoders killed in their middle: the same bytes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from infra.model import preparation
from linewatch.calls import Channel
from linewatch.gateway.playing import wav
from tests.support.decoders import (
    REAL,
    ROOT,
    Fleet,
    differences,
    line_to,
    once_each,
    outbox_is_empty,
    own_redis,
    published,
)
from tests.support.waiting import eventually

CALLS = 10
SECONDS = 14
PIECE = 2000
#: Faster than life, as far as two cores carry ten calls.
PACE_S = 0.15


def recordings():
    """Return ten pieces of the demo's calls: call -> channel -> mu-law audio."""
    files = sorted((ROOT / "infra" / "recordings").glob("*.wav"))
    found = {}
    for number in range(CALLS):
        heard = wav.read(files[number % len(files)])
        begin = 8000 * (5 + 20 * (number // len(files)))
        channels = zip((Channel.CUSTOMER, Channel.AGENT), heard.channels, strict=True)
        found[f"call-{number}"] = {
            channel: audio[begin : begin + SECONDS * 8000] for channel, audio in channels
        }
    return found


def run(folder, prepared, disturb):
    """Play the calls on two decoders and a Redis of their own; return what was published."""
    with (
        own_redis(folder) as url,
        Fleet(url, REAL, VOSK_MODEL_PATH=str(prepared), **preparation.decoder_env()) as fleet,
    ):
        fleet.start(2)
        played = play(fleet, lambda: disturb(fleet))
        eventually(lambda: outbox_is_empty(url))
        topics = ("utterances", "calls")
        return {topic: once_each(published(url, topic, played)) for topic in topics}


def play(fleet, disturb):
    """Push the calls side by side and end them; return their ids."""
    calls = recordings()
    lines = {
        call: line_to(fleet.urls, call, tuple(heard), seed=seed)
        for seed, (call, heard) in enumerate(calls.items())
    }
    for line in lines.values():
        line.open()
    disturbance = threading.Timer(SECONDS * 4 * PACE_S / 2, disturb)
    disturbance.start()
    for begin in range(0, SECONDS * 8000, PIECE):
        for call, line in lines.items():
            for channel, audio in calls[call].items():
                line.push(channel, audio[begin : begin + PIECE])
        time.sleep(PACE_S)
    disturbance.join()
    assert all(line.close(timeout_s=60) for line in lines.values())
    return set(calls)


@pytest.mark.timeout(900)
def test_real_words_survive_a_kill(tmp_path, prepared_model):
    """Kill -9 of one of two decoders amid ten of the demo's calls changes no byte of any event."""
    folders = [tmp_path / name for name in ("calm", "killed")]
    for folder in folders:
        Path.mkdir(folder)
    calm = run(folders[0], prepared_model, lambda _: None)
    killed = run(
        folders[1],
        prepared_model,
        lambda fleet: os.kill(fleet.decoders[0].worker, signal.SIGKILL),
    )
    assert len(calm["utterances"]) > CALLS
    told = [line for topic in calm for line in differences(killed[topic], calm[topic])]
    assert told == []
