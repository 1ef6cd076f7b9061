"""Stored sessions as files: what Redis held in the middle of a call, and what came after.

``python -m tests.golden.checkpoints`` (with ``PYTHONPATH=functions:.``) writes those of the
version that this code writes. Files of earlier versions stay as they are: they are the contract.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import numpy as np
import redis

from linewatch import keys
from linewatch.calls import ChannelKey, End, Gap, GapReason, Word
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store.store import VERSION
from tests.linewatch.decoder.pods import START, Pod, outbox
from tests.support import fakes
from tests.support.decoders import own_redis

FOLDER = Path(__file__).parent
_LOUD = 300


class Counting:
    """Says one numbered word for every loud quantum: no word depends on the last bit of a float."""

    def __init__(self):
        self._heard = 0
        self._words = []

    def accept(self, samples):
        """See `Recognizer`: it never finds an endpoint itself."""
        begin_ms, self._heard = self._heard // 32, self._heard + len(samples)
        loud = len(samples) and np.abs(np.frombuffer(samples, "<i2").astype(int)).mean() > _LOUD
        if loud:
            self._words.append(Word(f"w{len(self._words)}", begin_ms, self._heard // 32, 1.0))
        return False

    def partial(self):
        """See `Recognizer`."""
        return " ".join(word.text for word in self._words)

    def final(self):
        """See `Recognizer`."""
        return tuple(self._words)


class CountingRecognizers:
    """See `Recognizers`."""

    digest = "golden"
    profile = {"model": "golden"}  # noqa: RUF012 - never written

    def fresh(self):
        """See `Recognizers`."""
        return Counting()


def _key(channel):
    return key_of({"channel": channel})


def _talking():
    """In the middle of what somebody says, after an utterance."""
    sound = np.concatenate([fakes.speech(1), fakes.silence(1.5), fakes.speech(1.5, seed=1)])
    chunks = fakes.chunks(np.concatenate([sound, fakes.silence(1)]))
    return _key("agent"), chunks[:13], [*chunks[13:], End(len(chunks), "s1")]


def _waiting():
    """While nobody speaks: the gate is closed, the tail is silence."""
    sound = np.concatenate([fakes.speech(1), fakes.silence(3), fakes.speech(1, seed=2)])
    chunks = fakes.chunks(sound)
    return _key("customer"), chunks[:14], [*chunks[14:], End(len(chunks), "s1")]


def _wide():
    """After a sender that began anew at another rate: only this version's code can go on."""
    before = fakes.chunks(fakes.speech(1))
    sound = fakes.speech(2, 16_000, seed=4)
    after = fakes.chunks(sound, rate_hz=16_000, stream="s2", position=24_000)
    return _key("customer"), [*before, *after[:4]], [*after[4:], End(len(after), "s2")]


def _patched():
    """After a gap, and a sender that began anew."""
    before = fakes.chunks(fakes.speech(1))
    gap = Gap(len(before), len(before) + 2, 12_000, "s1", GapReason.LOST)
    after = fakes.chunks(fakes.speech(1.5, seed=3), stream="s2", seq=40, position=13_000)
    return _key("mixed"), [*before, gap, *after[:3]], [*after[3:], End(40 + len(after), "s2")]


CASES = {"talking": _talking, "waiting": _waiting, "patched": _patched, "wide": _wide}


def _text(raw):
    return base64.b64encode(raw).decode()


def _plain(found):
    return {name.decode(): value.decode() for name, value in found.items()}


def stored(client, key):
    """Return everything Redis holds of the session *key*."""
    session = _plain(client.hgetall(keys.session(key)))
    # When its last step came; no two runs have it alike.
    session.pop("at_ms", None)
    return {
        "session": session,
        "call": _plain(client.hgetall(keys.call(key.tenant, key.call))),
        "tail": [_text(each) for each in client.lrange(keys.tail(key), 0, -1)],
        "taken": [_text(each) for each in client.lrange(keys.taken(key), 0, -1)],
        "finals": [each.decode() for each in client.lrange(keys.finals(key), 0, -1)],
    }


def lay(client, key, held):
    """Put back what `stored` returned, of a pod that is gone since."""
    client.hset(keys.session(key), mapping=held["session"])
    client.hset(keys.call(key.tenant, key.call), mapping=held["call"])
    client.zadd(keys.SESSIONS, {keys.member(key): 0})
    lists = {keys.tail(key): "tail", keys.taken(key): "taken"}
    for name, part in lists.items():
        if held[part]:
            client.rpush(name, *map(base64.b64decode, held[part]))
    if held["finals"]:
        client.rpush(keys.finals(key), *held["finals"])


def made(redis_url, key, before, rest):
    """Return what a file must hold for this code: *before* is taken, stored, and *rest* follows."""
    pod = Pod(redis_url, recognizers=CountingRecognizers())
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        for step in before:
            pod.take(key, step)
        held, published = stored(client, key), len(outbox(redis_url))
        for step in rest:
            pod.take(key, step)
    told = [_plain(dict(record)) for record in outbox(redis_url)[published:]]
    pod.store._redis.close()
    return {
        "channel": str(key.channel),
        "before": [_text(packed_steps.pack(step)) for step in before],
        "stored": held,
        "rest": [_text(packed_steps.pack(step)) for step in rest],
        "published": told,
    }


def key_of(golden):
    """Return whose session a file holds."""
    return ChannelKey.of("default", START.call, golden["channel"])


def steps_of(golden, part):
    """Return the steps *part* of a file."""
    return [packed_steps.unpack(base64.b64decode(each)) for each in golden[part]]


def path_of(case, version=VERSION):
    """Return where a checkpoint is kept."""
    return FOLDER / f"v{version}-{case}.json"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, own_redis(folder) as url:
        for name, case in CASES.items():
            path_of(name).write_text(json.dumps(made(url, *case()), indent=1) + "\n")
