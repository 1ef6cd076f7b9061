"""One call on one line: the seam every phone adapter uses.

::

    line = Line(start, (Channel.CUSTOMER, Channel.AGENT), Codec.PCMU, 8000, decoders)
    line.open()                            # announces the call, beside
    line.push(Channel.CUSTOMER, audio)     # any length, as it comes; never waits
    line.skip(Channel.AGENT, samples, GapReason.PAUSED)
    line.close(timeout_s=30)               # sends what is left and ends the call
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from linewatch.calls import CallStart, Channel, ChannelKey, Codec, GapReason
from linewatch.errors import Unavailable
from linewatch.gateway.backoff import Backoff
from linewatch.gateway.decoders import Transport
from linewatch.gateway.metrics import Metrics
from linewatch.gateway.sender import CHUNK_MS, ChannelSender, State
from linewatch.gateway.wire import AGAIN, TAKEN, Words, announcement, problem, retry_after_s
from linewatch.names import printable

_LOG = logging.getLogger(__name__)


def fresh_stream() -> str:
    """Return the id of a new run of a sender."""
    return uuid.uuid4().hex[:16]


class Line:
    """Brings the channels of one call to the decoders, each by a thread of its own."""

    def __init__(
        self,
        start: CallStart,
        channels: Sequence[Channel],
        codec: Codec,
        rate_hz: int,
        transport: Transport,
        *,
        chance: random.Random | None = None,
        stream: Callable[[], str] = fresh_stream,
        chunk_ms: int = CHUNK_MS,
        name_tenant: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.start = start
        self._metrics = metrics or Metrics()
        self._transport = transport
        self._backoff = Backoff(chance or random.Random())  # noqa: S311 - jitter, no secret
        self._senders = {
            channel: ChannelSender(
                ChannelKey.of(start.tenant, start.call, channel),
                start.started_at_ms,
                codec,
                rate_hz,
                transport,
                stream=stream(),
                chance=self._backoff.chance,
                chunk_ms=chunk_ms,
                name_tenant=name_tenant,
                metrics=self._metrics,
            )
            for channel in channels
        }
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._going_on = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The call's channels."""
        return tuple(self._senders)

    @property
    def lost(self) -> bool:
        """Tell whether no channel can be sent any more."""
        return all(sender.done for sender in self._senders.values())

    @property
    def ended(self) -> bool:
        """Tell whether every channel was brought to its end."""
        return all(sender.state is State.ENDED for sender in self._senders.values())

    def sender(self, channel: Channel) -> ChannelSender:
        """Return the sender of *channel*."""
        return self._senders[channel]

    def finals(self, channel: Channel) -> tuple[Words, ...]:
        """Return every final hypothesis of *channel* so far."""
        return self._senders[channel].finals

    def resume(self, timeout_s: float) -> None:
        """Ask the decoder where an earlier run stopped; before `open` and any `push`.

        Raises:
            Unavailable: no decoder told it within *timeout_s*.
        """
        deadline_s = time.monotonic() + timeout_s
        for sender in self._senders.values():
            while (wait_s := sender.resume()) is not None:
                if sender.done or time.monotonic() + wait_s > deadline_s:
                    raise Unavailable("no decoder answered where this call stands: try again")
                time.sleep(wait_s)

    def open(self) -> None:
        """Announce the call and begin to send, both in threads; audio may come at once."""
        self._going_on = True
        self._metrics.calls.inc()
        self._thread(self._announce, "announce")

    def _thread(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=f"{self.start.call}/{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _announce(self) -> None:
        request = announcement(self.start, tuple(map(str, self.channels)))
        while not self.lost:
            try:
                answer = self._transport.send("POST", request.path, request.headers, request.body)
            except Unavailable:
                self._closing.wait(self._backoff.wait_s())
                continue
            if answer.status in TAKEN:
                return self._begin()
            if answer.status not in AGAIN:
                slug = problem(answer)[0]
                _LOG.error(
                    "call refused call=%s: %s %s", printable(self.start.call), answer.status, slug
                )
                return self.abandon()
            self._closing.wait(self._backoff.wait_s(retry_after_s(answer)))
        return None

    def _begin(self) -> None:
        _LOG.info("call started call=%s line=%s", *self._names())
        for channel, sender in self._senders.items():
            self._thread(sender.run, channel)

    def push(self, channel: Channel, audio: bytes) -> None:
        """Take the next *audio* of *channel*; see `ChannelSender.push`."""
        self._senders[channel].push(audio)

    def skip(self, channel: Channel, samples: int, reason: GapReason) -> None:
        """Tell that *samples* of *channel* will never come."""
        self._senders[channel].skip(samples, reason)

    def abandon(self) -> None:
        """Stop at once, without an end."""
        self._closing.set()
        for sender in self._senders.values():
            sender.abandon()

    def finish(self) -> None:
        """Take no more audio; every channel ends when all of it was sent."""
        for sender in self._senders.values():
            sender.finish()

    def wait(self, timeout_s: float) -> bool:
        """Wait until no channel sends any more; tell whether that is so."""
        deadline_s = time.monotonic() + timeout_s
        return all(
            sender.wait(max(0.0, deadline_s - time.monotonic()))
            for sender in self._senders.values()
        )

    def close(self, timeout_s: float) -> bool:
        """End the call when all its audio was sent, or stop after *timeout_s*.

        Returns:
            Whether every channel was ended.
        """
        self.finish()
        self.wait(timeout_s)
        self.abandon()
        self._metrics.calls.dec(self._going_on)
        self._going_on = False
        _LOG.info("call closed call=%s line=%s %s", *self._names(), self._told())
        return self.ended

    def _names(self) -> tuple[str, str]:
        return printable(self.start.call), printable(self.start.line)

    def _told(self) -> str:
        return " ".join(
            f"{channel}={sender.state} steps={sender.counts.steps} sent={sender.counts.sent}"
            f" rewinds={sender.counts.rewinds} gaps={sender.counts.gaps}"
            for channel, sender in self._senders.items()
        )
