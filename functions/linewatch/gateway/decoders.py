"""The decoders a line may speak to: one is taken at random for every request."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import urllib3

from linewatch.errors import Unavailable
from linewatch.sending.connections import connection_pool

CONNECT_S: Final = 0.5
READ_S: Final = 1.8
#: A decoder that took no connection, or stayed silent, is passed over so long if there is another.
SHUN_S: Final = 1.0
#: One that has a request in hand and answered none of any caller's for so long may stand still.
SILENT_S: Final = 0.5
_NOT_THERE: Final = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a decoder said: status, headers by lower-case name, cookies and body."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes


class Transport(Protocol):
    """How a request reaches some decoder."""

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request, once.

        Raises:
            Unavailable: nobody answered in time; whether the request was
                taken is not known.
        """
        ...


@dataclass(slots=True)
class _Target:
    pool: urllib3.HTTPConnectionPool
    prefix: str
    in_hand: int = 0
    #: Since when it has requests and answers none.
    silent_since_s: float = 0.0
    shunned_until_s: float = 0.0
    doubted: bool = False

    def is_there(self, now_s: float) -> bool:
        """Tell whether it may be asked: it answers, or it is time to try one request."""
        if self.shunned_until_s > now_s:
            return False
        is_silent = self.doubted or now_s - self.silent_since_s > SILENT_S
        return not (self.in_hand and is_silent)


class Decoders:
    """Pools of kept connections to every decoder, shared by all lines of a process.

    *token* authorises every request; one that may change is asked for each time.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: str | Callable[[], str] = "",
        chance: random.Random,
        connections: int = 64,
        connect_s: float = CONNECT_S,
        read_s: float = READ_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        timeout = urllib3.Timeout(connect=connect_s, read=read_s)
        self._targets = [
            _Target(
                connection_pool(url, timeout, connections),
                urllib3.util.parse_url(url).path or "",
            )
            for url in urls
        ]
        self._chance = chance
        self._lock = threading.Lock()
        self._monotonic_s = monotonic_s
        self._token = token

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request to one decoder, taken at random; see `Transport.send`."""
        target = self._any_target()
        with self._noting(target):
            answer = target.pool.urlopen(
                method,
                target.prefix + path,
                body=body,
                headers={**self._own(), **headers},
                retries=False,
                redirect=False,
            )
        return Answer(
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            tuple(answer.headers.getlist("set-cookie")),
            answer.data,
        )

    def _own(self) -> Mapping[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {"authorization": f"Bearer {token}"} if token else {}

    def _any_target(self) -> _Target:
        with self._lock:
            now_s = self._monotonic_s()
            there = [target for target in self._targets if target.is_there(now_s)]
            target = self._chance.choice(there or self._targets)
            if not target.in_hand:
                target.silent_since_s = now_s
            target.in_hand += 1
        return target

    @contextmanager
    def _noting(self, target: _Target) -> Iterator[None]:
        """Note how a request to *target* ends."""
        sent_s = self._monotonic_s()
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            self._failed(target, sent_s, error)
            raise Unavailable(f"no decoder answered: {type(error).__name__}") from error
        else:
            self._answered(target)

    def _answered(self, target: _Target) -> None:
        with self._lock:
            target.in_hand -= 1
            target.silent_since_s = self._monotonic_s()
            target.doubted = False

    def _failed(self, target: _Target, sent_s: float, error: urllib3.exceptions.HTTPError) -> None:
        with self._lock:
            target.in_hand -= 1
            now_s = self._monotonic_s()
            # One slow answer among others is no silence.
            is_silent = target.silent_since_s <= sent_s
            timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError)
            if isinstance(error, _NOT_THERE) or (timed_out and is_silent):
                target.shunned_until_s = now_s + SHUN_S
                target.doubted = True

    def close(self) -> None:
        """Close every kept connection."""
        for target in self._targets:
            target.pool.close()
