"""Connections that trickle: they hold no thread, and the calls that go on do not notice."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from itertools import cycle

from tests.chaos.crowd import Crowd
from tests.chaos.kills import BRIEF
from tests.chaos.overload import Slowed
from tests.chaos.rig import rig
from tests.chaos.row import Row
from tests.chaos.soak import rss_mib
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import eventually

CONNECTIONS = 200
CALLS = 10
CALM_S = 4.0
MOST_MIB = 20.0
#: A decoder lets go whose request is not whole after 10 s.
LET_GO = 408
#: So much later than it should be, if the machine stands still.
LET_GO_S = 10
_BYTE_S = 1.0
_HEAD = b"POST /calls/trickle/channels/agent/audio HTTP/1.1\r\nHost: decoder\r\n"
#: What begins each kind: one never ends its head, one never ends its body.
_BEGINNINGS = (_HEAD + b"X-Long: ", _HEAD + b"Content-Length: 200000\r\n\r\n")


class Trickle:
    """Holds *count* connections to *urls*; each says one byte a second, and comes again if let go.

    Attributes:
        answers: How many were let go with which status; 0 is none.
        most: The most that were open at once.
    """

    def __init__(self, urls, count):
        self.answers = Counter()
        self.most = 0
        self._addresses = cycle(("127.0.0.1", int(url.rpartition(":")[2])) for url in urls)
        self._beginnings = cycle(_BEGINNINGS)
        self._count = count
        self._poller = selectors.DefaultSelector()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trickle")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._leaving.set()
        self._thread.join()
        for each in list(self._poller.get_map().values()):
            each.fileobj.close()
        self._poller.close()

    def _run(self):
        while not self._leaving.is_set():
            open_now = [each.fileobj for each in self._poller.get_map().values()]
            for _ in range(self._count - len(open_now)):
                self._begin()
            for connection in open_now:
                self._say(connection)
            self.most = max(self.most, len(open_now))
            self._listen(time.monotonic() + _BYTE_S)

    def _begin(self):
        connection = socket.create_connection(next(self._addresses), timeout=5)
        connection.sendall(next(self._beginnings))
        self._poller.register(connection, selectors.EVENT_READ)

    def _say(self, connection):
        try:
            connection.sendall(b"x")
        except OSError:
            # It may have been let go some seconds ago, in which this process stood still.
            self._hear(connection)

    def _listen(self, until_s):
        while (left_s := until_s - time.monotonic()) > 0 and not self._leaving.is_set():
            for found, _ in self._poller.select(left_s):
                self._hear(found.fileobj)

    def _hear(self, connection):
        try:
            said = connection.recv(4096)
        except OSError:
            said = b""
        self._end(connection, int(said[9:12] or 0))

    def _end(self, connection, status):
        self.answers[status] += 1
        self._poller.unregister(connection)
        connection.close()


def trickled(chance, for_s=11.0):
    """Let connections trickle beside calls at 1x, for *for_s*."""
    with rig(2) as site:
        workers = [decoder.worker for decoder in site.fleet.decoders]
        with Crowd(site.fleet.urls, chance, count=CALLS, speed=1.0, scripts=BRIEF) as crowd:
            time.sleep(2)
            marks = [time.monotonic()]
            time.sleep(CALM_S)
            before_mib = sum(map(rss_mib, workers))
            marks.append(time.monotonic())
            with Trickle(site.fleet.urls, CONNECTIONS) as trickle:
                time.sleep(for_s)
                eventually(
                    lambda: trickle.answers.total() >= CONNECTIONS, LET_GO_S, what="all are let go"
                )
                marks.append(time.monotonic())
                grown_mib = sum(map(rss_mib, workers)) - before_mib
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd) + Verdict(lost=not said)
    return _row(verdict, Slowed.of(crowd, marks), marks, trickle, grown_mib)


def _row(verdict, slowed, marks, trickle, grown_mib):
    return Row(
        "trickle",
        21,
        f"{trickle.most} connections that say one byte a second, {marks[2] - marks[1]:.0f} s",
        1,
        verdict,
        f"{trickle.answers[LET_GO]} let go with {LET_GO}; p95 of calls {slowed};"
        f" memory {grown_mib:+.1f} MiB",
        passed=trickle.most == CONNECTIONS
        and trickle.answers.keys() == {LET_GO}
        and grown_mib <= MOST_MIB,
        slow=slowed.is_slow,
        open=slowed.missed,
    )
