"""One channel's sender: it numbers the audio and brings every step to a decoder.

It may fall behind and catches up by sending without pause; it skips audio only
where more than the ring holds is waiting, and then tells the gap.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from linewatch.calls import ChannelKey, Chunk, Codec, End, Gap, GapReason, Step, first_seq
from linewatch.errors import Unavailable
from linewatch.gateway.backoff import Backoff
from linewatch.gateway.decoders import Answer, Transport
from linewatch.gateway.metrics import Metrics, Tally
from linewatch.gateway.ring import Ring
from linewatch.gateway.wire import (
    AGAIN,
    TAKEN,
    Reply,
    Words,
    problem,
    reply,
    retry_after_s,
)
from linewatch.names import printable
from linewatch.step_requests import ChannelRequests, Request

RING_S: Final = 30
CHUNK_MS: Final = 250

_LOG = logging.getLogger(__name__)
_HELD_UP: Final = 4
_CONFLICT, _FORBIDDEN, _NOT_FOUND, _GONE = 409, 403, 404, 410


class State(StrEnum):
    """How far a sender is."""

    SENDING = "sending"
    ENDED = "ended"
    GONE = "gone"
    REPLACED = "replaced"
    FAILED = "failed"
    ABANDONED = "abandoned"


#: Whatever still waits then, nobody will hear.
_HEARD_NO_MORE: Final = frozenset({State.GONE, State.FAILED, State.ABANDONED})


@dataclass(slots=True)
class Counts:
    """What a sender did: *sent* counts requests, *steps* what was numbered."""

    steps: int = 0
    sent: int = 0
    rewinds: int = 0
    gaps: int = 0


@dataclass(slots=True)
class _Heard:
    finals: list[Words] = field(default_factory=list)
    after: int = -1
    partial: str = ""

    def take(self, said: Reply) -> None:
        self.partial = said.partial
        for final in said.finals:
            first_sample = final.get("first_sample")
            if isinstance(first_sample, int) and first_sample > self.after:
                self.finals.append(final)
                self.after = first_sample


class ChannelSender:
    """The sender of one channel of one call.

    `push`, `skip` and `finish` may be called by one thread while another one
    is in `run`; `step` sends one request and is what `run` repeats.
    """

    def __init__(
        self,
        key: ChannelKey,
        started_at_ms: int,
        codec: Codec,
        rate_hz: int,
        transport: Transport,
        *,
        stream: str,
        chance: random.Random,
        chunk_ms: int = CHUNK_MS,
        ring_s: int = RING_S,
        name_tenant: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.key = key
        self.counts = Counts()
        self.state = State.SENDING
        self._codec = codec
        self._rate_hz = rate_hz
        self._transport = transport
        self._stream = stream
        self._backoff = Backoff(chance)
        self._chunk_bytes = max(1, rate_hz * chunk_ms // 1000) * codec.sample_bytes
        self._ring_samples = ring_s * rate_hz
        self._ring = Ring(stream, self._ring_samples)
        self._requests = ChannelRequests(key, stream, started_at_ms, name_tenant=name_tenant)
        self._collected = bytearray()
        self._position = 0
        self._finishing = False
        self._tally = Tally(metrics or Metrics())
        self._cookies: dict[str, str] = {}
        self._heard = _Heard()
        self._changed = threading.Condition()
        self._stopping = threading.Event()

    @property
    def finals(self) -> tuple[Words, ...]:
        """Every final hypothesis heard of, in order, each once."""
        return tuple(self._heard.finals)

    @property
    def partial(self) -> str:
        """The words of the utterance that is going on."""
        return self._heard.partial

    @property
    def position(self) -> int:
        """How many samples were pushed or skipped."""
        return self._position + len(self._collected) // self._codec.sample_bytes

    @property
    def done(self) -> bool:
        """Tell whether nothing will be sent any more."""
        return self.state is not State.SENDING

    def push(self, audio: bytes) -> None:
        """Take the next *audio*, of any length; it goes out in chunks of ``chunk_ms``.

        Never waits for the decoder. After `finish` nothing more is taken.
        """
        with self._changed:
            if self._finishing or self.done:
                return
            self._collected += audio
            while len(self._collected) >= self._chunk_bytes:
                self._cut(self._chunk_bytes)
            self._changed.notify_all()

    def skip(self, samples: int, reason: GapReason) -> None:
        """Tell that the next *samples* will never come, so that later times stay right."""
        with self._changed:
            if self._finishing or self.done:
                return
            self._cut(len(self._collected))
            self._position += samples
            seq = self._ring.next_seq
            self._add(Gap(seq, seq + 1, self._position, self._stream, reason))

    def finish(self) -> None:
        """Take no more audio; end the channel when all of it was sent."""
        with self._changed:
            if self._finishing or self.done:
                return
            self._cut(len(self._collected))
            self._finishing = True
            self._add(End(self._ring.next_seq, self._stream))

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing will be sent any more; tell whether that is so."""
        return self._stopping.wait(timeout_s)

    def abandon(self) -> None:
        """Stop at once, whatever is left; the decoder's reaper ends the channel."""
        with self._changed:
            self._stop(State.ABANDONED)

    def _cut(self, length: int) -> None:
        whole = length - length % self._codec.sample_bytes
        if not whole:
            return
        audio = bytes(self._collected[:whole])
        del self._collected[:whole]
        chunk = Chunk(
            self._ring.next_seq, self._position, self._stream, self._codec, self._rate_hz, audio
        )
        self._position = chunk.end_position
        self._add(chunk)

    def _add(self, step: Step) -> None:
        self._ring.add(step)
        self.counts.steps += 1
        self._changed.notify_all()

    def run(self) -> None:
        """Send until the channel has ended or cannot go on."""
        while not self.done:
            wait_s = self.step()
            if wait_s is None:
                self._wait_for_work()
            elif wait_s:
                self._stopping.wait(wait_s)

    def _wait_for_work(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.done or self._ring.waiting > 0)

    def resume(self) -> float | None:
        """Go on where an earlier run of the sender stopped; to be called before any `push`.

        Returns:
            None when that is settled, else the seconds to wait before the next try.
        """
        answer = self._send(self._requests.state())
        if answer is None:
            return self._backoff.wait_s()
        if answer.status == _NOT_FOUND:
            return None
        said = reply(answer)
        if answer.status not in TAKEN or said is None:
            return self._refused(answer)
        with self._changed:
            self._position = said.next_position
            self._ring = Ring(
                self._stream, self._ring_samples, seq=said.next_seq, position=said.next_position
            )
        return None

    def step(self) -> float | None:
        """Send what is due.

        Returns:
            The seconds to wait before the next step, 0 for none; None when
            nothing is due.
        """
        with self._changed:
            due = None if self.done else self._ring.due()
        if due is None:
            return None
        with self._tally.sending(due):
            answer = self._send(self._requests.step(due, self._heard.after))
        if self._backoff.tries == _HELD_UP:
            _LOG.warning("held up call=%s channel=%s", printable(self.key.call), self.key.channel)
        if answer is None:
            return self._backoff.wait_s()
        said = reply(answer) if answer.status in TAKEN else None
        return self._refused(answer, due) if said is None else self._taken(due, said)

    def _send(self, request: Request) -> Answer | None:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {**request.headers, "cookie": cookie} if cookie else request.headers
        self.counts.sent += 1
        try:
            answer = self._transport.send(request.method, request.path, headers, request.body)
        except Unavailable:
            return None
        for raw in answer.cookies:
            name, _, value = raw.partition(";")[0].partition("=")
            self._cookies[name.strip()] = value.strip()
        return answer

    def _taken(self, step: Step, said: Reply) -> float:
        self._backoff.reset()
        self._heard.take(said)
        self._tally.taken(step, said.next_seq)
        if isinstance(step, End) and said.next_seq >= step.seq:
            self._stop(State.ENDED)
            return 0.0
        with self._changed:
            self.counts.rewinds += said.next_seq < first_seq(step)
            self.counts.gaps += isinstance(step, Gap)
            if not self._ring.acknowledge(said.next_seq):
                self._fail(f"the decoder has {said.next_seq} steps, more than were sent")
        return 0.0

    def _refused(self, answer: Answer, step: Step | None = None) -> float:
        slug, next_seq = problem(answer)
        wait_s = self._backoff.wait_s(retry_after_s(answer))
        if answer.status == _CONFLICT:
            self._conflict(slug, next_seq)
        elif answer.status == _GONE:
            self._stop(State.ENDED if self._finishing else State.GONE)
        elif answer.status == _FORBIDDEN and self._cookies:
            # A cookie outlives the key that signed it; without one we are located anew.
            self._cookies.clear()
        elif answer.status == _NOT_FOUND and isinstance(step, Gap | End):
            self._begin_with_audio()
        elif answer.status not in AGAIN and answer.status not in TAKEN:
            self._fail(f"{answer.status} {slug}".strip())
        return wait_s

    def _begin_with_audio(self) -> None:
        """Send the oldest audio there is: only that makes a channel, which asks for the rest then.

        So begins who was refused for longer than the ring holds, or paused before the first word.
        """
        with self._changed:
            begins = self._ring.begin_with_audio()
        if self._finishing and not begins:
            self._stop(State.ENDED)

    def _conflict(self, slug: str, next_seq: int | None) -> None:
        if slug == "stream-replaced":
            self._stop(State.REPLACED)
        elif slug in {"sequence-gap", "sequence-conflict"} and next_seq is not None:
            with self._changed:
                self.counts.rewinds += 1
                moved = self._ring.rewind(next_seq)
            if not moved:
                self._fail(f"{slug}: step {next_seq} is not ours")
        elif slug != "session-moved":
            self._fail(slug or "conflict")

    def _fail(self, why: str) -> None:
        call = printable(self.key.call)
        _LOG.error("channel failed call=%s channel=%s: %s", call, self.key.channel, why)
        self._stop(State.FAILED)

    def _stop(self, state: State) -> None:
        with self._changed:
            if self.state is State.SENDING:
                self.state = state
                if state in _HEARD_NO_MORE:
                    self._tally.given_up(max(0, self._ring.waiting - self._finishing))
            self._stopping.set()
            self._changed.notify_all()
