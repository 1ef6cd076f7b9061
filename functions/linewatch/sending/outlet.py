"""Where a function's events go: to ``K_SINK``, into the reply, or nowhere yet.

A KafkaSource throws replies away, so a function replies only where ``REPLY`` says so. A
function that has neither, as before its SinkBinding has found the sink, takes no event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from cloudevents.core.v1.event import CloudEvent

from linewatch import events
from linewatch.errors import SinkUnavailable
from linewatch.sending.sink import Sink
from linewatch.settings import flag, number, setting, shown_url, url

Answer = tuple[str | bytes, int, dict[str, str]]

_BIND: Final = (
    "bind this function to its sink with a SinkBinding, so that Knative sets K_SINK, "
    "or set REPLY=true where a Broker takes the reply"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutletSettings:
    """Where the events of a function go."""

    sink: str = setting(
        "K_SINK", url("http", "https"), "", "where new events go; a SinkBinding sets it"
    )
    reply: bool = setting(
        "REPLY", flag, "false", "true = the score is the reply, alerts stay on the board; no K_SINK"
    )
    sink_timeout_s: float = setting(
        "SINK_TIMEOUT_S", number(0.1, 60), "20", "seconds that a POST to K_SINK may take"
    )


class Taker(Protocol):
    """Takes events, as `Sink` does."""

    def send(self, event: CloudEvent) -> None:
        """Post *event*, or raise `SinkUnavailable`."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """*sink* is none in reply mode, and while there is nowhere to send events to."""

    sink: Taker | None = None
    is_reply: bool = False

    @classmethod
    def of(cls, settings: OutletSettings, what: str, reply: str) -> Outlet:
        """Return the outlet that *settings* name, and log it.

        ``REPLY`` wins: a person set it here, while ``K_SINK`` may be left of a SinkBinding.

        Args:
            settings: The function's settings.
            what: What the function sends.
            reply: Where that goes in reply mode.
        """
        if settings.reply:
            unused = f", K_SINK {shown_url(settings.sink)} is not used" if settings.sink else ""
            log.info("%s go to %s: REPLY is set%s", what, reply, unused)
            return cls(is_reply=True)
        if not settings.sink:
            log.warning("%s go nowhere, no event is taken: %s", what, _BIND)
            return cls()
        log.info("%s go to K_SINK %s", what, shown_url(settings.sink))
        return cls(Sink(settings.sink, settings.sink_timeout_s))

    def check(self) -> None:
        """Return if events have somewhere to go: ask before an event is taken, and when ready.

        Raises:
            SinkUnavailable: they have not; it says what to set.
        """
        if self.sink is None and not self.is_reply:
            raise SinkUnavailable(f"there is nowhere to send events to: {_BIND}")

    def answer(self, event: CloudEvent) -> Answer:
        """Pass *event* on; return the answer to the request that it came of.

        Raises:
            SinkUnavailable: nobody took it.
        """
        if self.sink:
            self.sink.send(event)
            return "", 204, {}
        self.check()
        headers, body = events.to_http(event)
        return body, 200, headers
