"""Decoder pods inside the test's process, callers that send as phones do, and what came out."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import redis

from linewatch import keys
from linewatch.calls import CallStart, Channel, ChannelKey, Codec, End
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.ownership.live import SessionDecoder
from linewatch.decoder.ownership.sessions import Sessions
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.decoder.store.store import Store
from linewatch.errors import LinewatchError, SequenceGap, SessionMoved, StoreUnavailable
from linewatch.events import PARTITIONS
from tests.support import fakes

STARTED_AT_MS = 1_767_225_600_000
NOW_MS = STARTED_AT_MS + 60_000
AGENT = ChannelKey.of("default", "c1", "agent")
CUSTOMER = ChannelKey.of("default", "c1", "customer")
MIXED = ChannelKey.of("default", "c1", "mixed")
START = CallStart("default", "c1", "line-1", STARTED_AT_MS)


@contextmanager
def client_of(redis_url):
    """Open a client of the test's own."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Killed(BaseException):
    """The process ends here."""


class Pod:
    """One decoder without its HTTP edge and threads; its lease lasts until it is `killed`."""

    def __init__(self, redis_url, name="pod-a", *, recognizers=None, store=Store.from_url, kept=0):
        self.name = name
        self.metrics = Metrics()
        self.store = store(redis_url, name)
        self.recognizers = recognizers or fakes.HashRecognizers()
        self.ended = []
        watchdog = Watchdog(5.0, lambda: self.ended.append(name))
        self.decoding = SessionDecoder(self.store, self.recognizers, self.metrics, watchdog, 2)
        self.sessions = Sessions(self.store, self.decoding, self.metrics, lambda: NOW_MS, kept)
        self._redis_url = redis_url
        with client_of(redis_url) as client:
            facts = {"address": f"http://{name}", "sessions": 0, "capacity": 60}
            client.hset(keys.pod(name), mapping=facts)
            client.sadd(keys.PODS, name)

    def killed(self):
        """Let its lease be gone, as 1.5 s after a SIGKILL."""
        with client_of(self._redis_url) as client:
            client.delete(keys.pod(self.name))
            client.srem(keys.PODS, self.name)

    def take(self, key, step, after=-1):
        """Take a step of a call that may begin here."""
        return self.sessions.take(key, step, after=after, start=START)

    def park(self, key):
        """Park a channel of which nothing was heard for a minute."""
        with client_of(self._redis_url) as client:
            aged(client, key, 60)
        self.sessions.park(key, 30)

    def abandon(self, key):
        """Give up a channel's call, of which nothing was heard for two hours."""
        self.park(key)
        with client_of(self._redis_url) as client:
            aged(client, key, 7200)
        return self.store.abandon(key.tenant, key.call, NOW_MS, quiet_s=300, paused_s=3600)

    def forget(self, key):
        """Lose the session's memory."""
        live = self.sessions._live.get(key)
        if live:
            self.sessions._forget(live)


def aged(client, key, by_s):
    """Let the last that was heard of a channel and of its call lie *by_s* further back."""
    session, call = keys.session(key), keys.call(key.tenant, key.call)
    for index, name in (
        (keys.SESSIONS, keys.member(key)),
        (keys.QUIET, keys.call_member(*call_of(key))),
    ):
        if client.zscore(index, name) is not None:
            client.zincrby(index, -1000 * by_s, name)
    for name, fields in ((session, ("heard_ms", "at_ms")), (call, ("heard_ms",))):
        for field in fields:
            if client.hexists(name, field):
                client.hincrby(name, field, -1000 * by_s)


def call_of(key):
    """Return tenant and call of a channel."""
    return key.tenant, key.call


@contextmanager
def unanswered(store, *, taken, asked="commit"):
    """Let every answer to what is *asked* of the store be lost, *taken* as it was or not."""
    ask = getattr(store, asked)

    def silent(*words, **options):
        if taken:
            ask(*words, **options)
        raise StoreUnavailable("injected")

    setattr(store, asked, silent)
    yield
    setattr(store, asked, ask)


class Caller:
    """Sends a channel's steps by *take* as a phone does: again, or from ``next_seq``, as told."""

    def __init__(self, key, steps, take, most_tries=200):
        self.key = key
        self.finals = []
        self.tries = 0
        self.rewinds = 0
        self._steps = steps
        self._take = take
        self._most_tries = most_tries
        self._at = 0
        self._after = -1

    @property
    def done(self):
        """Tell whether everything was acknowledged."""
        return self._at == len(self._steps)

    def send(self):
        """Send one step once."""
        step = self._steps[self._at]
        try:
            reply = self._take(self.key, step, self._after)
        except (StoreUnavailable, SessionMoved):
            self.tries += 1
            assert self.tries < self._most_tries
        except SequenceGap as gap:
            self.rewinds += gap.extra["next_seq"] < self._at
            self._at = gap.extra["next_seq"]
        else:
            self._at = reply.next_seq
            self._hear(reply.finals)

    def _hear(self, finals):
        for final in finals:
            if final["first_sample"] > self._after:
                self.finals.append(final)
                self._after = final["first_sample"]

    def run(self):
        """Send everything."""
        while not self.done:
            self.send()
        return self


def tried(read, *arguments):
    """Return what *read* answers and none, or none and the `LinewatchError` it raises."""
    try:
        return read(*arguments), None
    except LinewatchError as error:
        return None, error


def run_together(callers):
    """Let callers send in turns until all is acknowledged."""
    while not all(caller.done for caller in callers):
        for caller in callers:
            if not caller.done:
                caller.send()


def conversation(seed=0, rate_hz=8000):
    """Return 9 s of speech and pauses."""
    parts = (
        fakes.silence(0.4, rate_hz),
        fakes.speech(2.6, rate_hz, seed),
        fakes.silence(0.9, rate_hz),
        fakes.speech(1.7, rate_hz, seed + 1),
        fakes.silence(2.2, rate_hz),
        fakes.speech(1.2, rate_hz, seed + 2),
    )
    return np.concatenate(parts)


def steps_of(samples, chunk_ms=250, stream="s1"):
    """Return the chunks of *samples* and the end."""
    made = fakes.chunks(samples, chunk_ms, stream=stream)
    return [*made, End(len(made), stream)]


def chunk(seq=0, position=0, *, stream="s1", samples=2000, fill=0, rate_hz=8000):
    """Return a chunk of one sample repeated."""
    sound = np.full(samples, fill, np.int16)
    (made,) = fakes.chunks(
        sound, 10_000, rate_hz, codec=Codec.S16LE, stream=stream, seq=seq, position=position
    )
    return made


def outbox(redis_url):
    """Return every record of the outbox, in order within its partition."""
    with client_of(redis_url) as client:
        return [
            tuple(sorted(fields.items()))
            for partition in range(PARTITIONS)
            for _, fields in client.xrange(keys.outbox(partition))
        ]


def told(redis_url, kind=""):
    """Return (type, source, id) of the outbox' records whose type holds *kind*."""
    rows = [dict(fields) for fields in outbox(redis_url)]
    names = [
        tuple(row[b"ce_" + name].decode() for name in (b"type", b"source", b"id")) for row in rows
    ]
    return [name for name in names if kind in name[0]]


def data_of(redis_url, kind):
    """Return the data of the outbox' records whose type holds *kind*, in order."""
    rows = [dict(fields) for fields in outbox(redis_url)]
    return [json.loads(row[b"value"]) for row in rows if kind.encode() in row[b"ce_type"]]


def first_occurrences(records):
    """Return records without repeats; a repeat that differs is a failure."""
    found = {}
    for record in records:
        row = dict(record)
        name = (row[b"ce_source"], row[b"ce_id"])
        assert found.setdefault(name, record) == record, f"{name} differs when told again"
    return list(found.values())


def undisturbed(redis_url, *parts):
    """Return the outbox after calls (key, steps) on one healthy pod, and empty Redis again."""
    pod = Pod(redis_url, "pod-undisturbed")
    run_together([Caller(key, steps, pod.take) for key, steps in parts])
    wanted = outbox(redis_url)
    with client_of(redis_url) as client:
        client.flushall()
    return wanted


CHANNELS = (Channel.AGENT, Channel.CUSTOMER, Channel.MIXED)
STEPS = steps_of(conversation())
#: Chunks after which somebody speaks.
SPEAKING = 34
