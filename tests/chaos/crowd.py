"""Callers that keep calling: real lines, one call after the other, and what each was answered."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass

from linewatch.calls import ChannelKey, Codec
from linewatch.gateway.decoders import READ_S, Decoders
from linewatch.gateway.line import Line
from tests.chaos.oracle import CHUNK_BYTES, RATE_HZ, Script, start_of

PIECE_S = CHUNK_BYTES / RATE_HZ
#: Callers faster than life wait where so much was not taken yet: a ring holds 30 s.
BACKLOG_STEPS = int(15 / PIECE_S)
DRAIN_S = 60
LATE_S = 120
OK = 200
GONE = 410
UNAVAILABLE = 503
LAST_BREATH_S = 0.1


@dataclass(frozen=True, slots=True)
class Answered:
    """One request for a step: when it went out, what came back when; status 0 is no answer."""

    key: tuple[str, str]
    sent_s: float
    answered_s: float
    status: int


class Ear:
    """A transport that remembers how every request for a step was answered.

    *taken_s* is when the last step was taken.
    """

    def __init__(self, transport):
        self.transport = transport
        self.answers = deque()
        self.taken_s = time.monotonic()

    def send(self, method, path, headers, body):
        """See `Transport`."""
        sent_s, status = time.monotonic(), 0
        try:
            answer = self.transport.send(method, path, headers, body)
            status = answer.status
        finally:
            if path.count("/") > 4:
                _, _, _, call, _, channel, *_ = path.split("/")
                now_s = time.monotonic()
                self.answers.append(Answered((call, channel), sent_s, now_s, status))
                self.taken_s = now_s if status == OK else self.taken_s
        return answer


@dataclass
class _Call:
    line: Line
    script: Script
    at: int = 0

    def push(self):
        """Say the next 250 ms; tell whether something is left to say."""
        left = False
        for channel, audio in self.script.audio().items():
            self.line.push(channel, audio[self.at : self.at + CHUNK_BYTES])
            left = left or len(audio) > self.at + CHUNK_BYTES
        self.at += CHUNK_BYTES
        return left

    def is_behind(self):
        """Tell whether much of it waits for a decoder."""
        return any(
            self.line.sender(channel)._ring.waiting > BACKLOG_STEPS
            for channel in self.line.channels
        )


class Crowd:
    """Keeps *count* calls going against *urls*, each at *speed* times life.

    A call that was said ends, and another begins, until `finish`. A *patient* caller whose line
    has much to send waits before it says more; one that is not loses the oldest, as phones do.
    """

    def __init__(
        self,
        urls,
        chance,
        *,
        count,
        speed=4.0,
        scripts=(),
        read_s=READ_S,
        prefix="call",
        patient=True,
    ):
        self.scripts = {}
        self.lines = {}
        self._read_s = read_s
        self.ear = Ear(self._transport(urls, chance.random()))
        self._chance = random.Random(chance.random())
        self._choices = scripts
        self._count = count
        self._pace_s = PIECE_S / speed
        self._prefix = prefix
        self._patient = patient
        self._begun = 0
        self._late_s = 0.0
        self._talking = []
        self._finishing = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._leaving.set()
        self._thread.join()
        for line in self.lines.values():
            line.abandon()

    def _transport(self, urls, seed):
        return Decoders(urls, chance=random.Random(seed), read_s=self._read_s)

    def reach(self, urls):
        """Speak to the decoders at *urls* from now on."""
        self.ear.transport = self._transport(urls, len(urls))

    @property
    def live(self):
        """The channels of the calls going on."""
        return [
            ChannelKey("default", call.line.start.call, channel)
            for call in list(self._talking)
            for channel in call.line.channels
        ]

    def begin_no_more(self):
        """Let no call follow those going on."""
        self._finishing.set()

    def finish(self):
        """Begin no more calls, say those going on to their end; tell whether all were taken."""
        self.begin_no_more()
        self._thread.join()
        for line in self.lines.values():
            line.finish()
        deadline_s = time.monotonic() + DRAIN_S
        return all(line.wait(max(0, deadline_s - time.monotonic())) for line in self.lines.values())

    def recoveries(self, channels, since_s, patience_s):
        """Return the seconds from *since_s* to the first taken step of each channel.

        An answer that may have come from the old owner's last breath does not count, nor do
        channels whose caller had said all.
        """
        wanted = {(key.call, str(key.channel)) for key in channels}
        found = {}
        deadline_s = time.monotonic() + patience_s
        while wanted - found.keys() and time.monotonic() < deadline_s:
            for answer in list(self.ear.answers):
                is_new = answer.sent_s >= since_s or answer.answered_s > since_s + LAST_BREATH_S
                if is_new and answer.status == OK and answer.key in wanted:
                    found.setdefault(answer.key, answer.answered_s - since_s)
            done = {key for key in wanted - found.keys() if self._is_done(*key)}
            wanted -= done
            time.sleep(0.02)
        return [found.get(key, float("inf")) for key in wanted]

    def replies_s(self, since_s=0.0, until_s=float("inf")):
        """Return how long each step took to be taken that was sent in a time."""
        return [
            answer.answered_s - answer.sent_s
            for answer in list(self.ear.answers)
            if answer.status == OK and since_s <= answer.sent_s < until_s
        ]

    def _is_done(self, call, channel):
        return self.lines[call].sender(channel).done

    def _run(self):
        due_s = time.monotonic()
        while self._talking or not self._finishing.is_set():
            if self._leaving.is_set() or self._is_late():
                break
            while len(self._talking) < self._count and not self._finishing.is_set():
                self._talking.append(self._begin())
            self._talking = [call for call in self._talking if self._says(call)]
            due_s = max(due_s + self._pace_s, time.monotonic() - 1)
            time.sleep(max(0, due_s - time.monotonic()))

    def _is_late(self):
        """Tell whether calls take for ever to be said: nobody takes them."""
        if not self._finishing.is_set():
            return False
        self._late_s = self._late_s or time.monotonic() + LATE_S
        return time.monotonic() > self._late_s

    def _says(self, call):
        waits = self._patient and call.is_behind()
        if not call.line.lost and (waits or call.push()):
            return True
        call.line.finish()
        return False

    def _begin(self):
        name = f"{self._prefix}-{self._begun}"
        self._begun += 1
        script = self._chance.choice(self._choices)
        line = Line(
            start_of(name),
            tuple(script.audio()),
            Codec.PCMU,
            RATE_HZ,
            self.ear,
            chance=random.Random(self._chance.random()),
            stream=lambda: f"{name}-stream",
        )
        line.open()
        self.scripts[name], self.lines[name] = script, line
        return _Call(line, script)
