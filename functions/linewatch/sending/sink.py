"""Where a function's events go: ``K_SINK``, over connections that are kept.

libcurl posts them: the same work done in Python was a third of a scored event's CPU.
"""

from __future__ import annotations

import ssl
import threading

import pycurl
from cloudevents.core.v1.event import CloudEvent

from linewatch import events
from linewatch.errors import SinkUnavailable


class Sink:
    """Posts events to *url* (``K_SINK``), each within *timeout_s*."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        # A handle keeps its connection, and serves one thread at a time.
        self._mine = threading.local()

    def send(self, event: CloudEvent) -> None:
        """Post *event* in binary content mode.

        The source of the event is what retries. Only where a kept connection turns out to be
        closed, before a word of the answer, the event is sent again on a new one.

        Raises:
            SinkUnavailable: the sink did not answer in time, or not with a 2xx.
        """
        headers, body = events.to_http(event)
        handle = self._handle()
        handle.setopt(pycurl.HTTPHEADER, _lines(headers))
        handle.setopt(pycurl.POSTFIELDS, body)
        try:
            handle.perform()
        except pycurl.error as error:
            raise SinkUnavailable(
                f"K_SINK did not take the event ({error.args[1]}): send it again"
            ) from error
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        if not 200 <= status < 300:  # noqa: PLR2004 - the class of success
            raise SinkUnavailable(f"K_SINK answered {status}: send the event again")

    def _handle(self) -> pycurl.Curl:
        handle: pycurl.Curl | None = getattr(self._mine, "handle", None)
        if handle is None:
            handle = self._mine.handle = _poster(self._url, self._timeout_s)
        return handle


def _lines(headers: dict[str, str]) -> list[str]:
    # What libcurl would say of its own accord is taken out.
    return [*(f"{name}: {value}" for name, value in headers.items()), "Accept:", "Expect:"]


def _poster(url: str, timeout_s: float) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POST, True)
    handle.setopt(pycurl.TIMEOUT_MS, round(timeout_s * 1000))
    # The answer's status is all that is read.
    handle.setopt(pycurl.WRITEFUNCTION, len)
    handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    # No signals, as there are threads; no proxy, as a sink is inside the cluster.
    handle.setopt(pycurl.NOSIGNAL, True)
    handle.setopt(pycurl.PROXY, "")
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        handle.setopt(pycurl.CAINFO, paths.cafile)
    if paths.capath:
        handle.setopt(pycurl.CAPATH, paths.capath)
    return handle
