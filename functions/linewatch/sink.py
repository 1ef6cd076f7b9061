"""Where a function's events go: ``K_SINK``, over connections that are kept."""

from __future__ import annotations

from typing import Final

import urllib3
from cloudevents.core.v1.event import CloudEvent
from urllib3.exceptions import HTTPError

from linewatch import events, kept
from linewatch.errors import SinkUnavailable

#: One connection for each thread that may score at the same time.
CONNECTIONS: Final = 16


class Sink:
    """Posts events to *url* (``K_SINK``), each within *timeout_s*."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._target = urllib3.util.parse_url(url).request_uri
        timeout = urllib3.Timeout(total=timeout_s)
        self._pool = kept.connections(url, timeout, CONNECTIONS, retries=False)

    def send(self, event: CloudEvent) -> None:
        """Post *event* in binary content mode.

        Nothing is sent twice from here: the source of the event is what retries.

        Raises:
            SinkUnavailable: the sink did not answer in time, or not with a 2xx.
        """
        headers, body = events.to_http(event)
        try:
            answer = self._pool.urlopen(
                "POST", self._target, body=body, headers=headers, redirect=False
            )
        except HTTPError as error:
            raise SinkUnavailable(
                f"K_SINK did not take the event ({type(error).__name__}): send it again"
            ) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - the class of success
            raise SinkUnavailable(f"K_SINK answered {answer.status}: send the event again")
