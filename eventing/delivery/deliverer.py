"""One event's way to its function: POST, retry, back off, or give up with a reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus

import urllib3
from urllib3.util import parse_url

from eventing.delivery.kafkasource_request import ERROR_BYTES, Event, Failure
from eventing.topology import Source
from linewatch.sending.connections import connection_pool

_RETRIED = frozenset(
    (
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
)
#: Deliveries a source has under way at a time: Kafka's max.poll.records.
IN_FLIGHT = 50


class Stopped(Exception):
    """The dispatcher stops: the event was neither delivered nor given up."""


def is_retried(status: int | None) -> bool:
    """Tell whether an answer of *status* (none: no answer) is worth another try."""
    return status is None or status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Deliverer:
    """Brings the events of one source to its function over kept connections."""

    def __init__(
        self,
        source: Source,
        url: str,
        stopping: threading.Event,
        retried: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._url = url
        self._path = parse_url(url).request_uri
        self._stopping = stopping
        self._retried = retried
        timeout = urllib3.Timeout(total=source.delivery.timeout_s)
        self._pool = connection_pool(url, timeout, IN_FLIGHT)

    def deliver(self, event: Event) -> Failure | None:
        """Return nothing once the function took *event*, else why it was given up.

        Raises:
            Stopped: the dispatcher stops during the back-off.
        """
        delivery = self._source.delivery
        failure = self._post(event)
        for attempt in range(1, delivery.retries + 1):
            if failure is None or not is_retried(failure.status):
                return failure
            if self._stopping.wait(delivery.delay_s(attempt)):
                raise Stopped
            self._retried()
            failure = self._post(event)
        return failure

    def _post(self, event: Event) -> Failure | None:
        try:
            response = self._pool.urlopen(
                "POST",
                self._path,
                body=event.body,
                headers=event.headers(self._source.namespace),
                redirect=False,
                retries=False,
                preload_content=False,
            )
            body = response.read(ERROR_BYTES)
            # The reply is dropped, but a kept connection must be read to its end.
            response.drain_conn()
            response.release_conn()
        except urllib3.exceptions.HTTPError:
            return Failure(self._url)
        if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        return Failure(self._url, response.status, body, dict(response.headers))
