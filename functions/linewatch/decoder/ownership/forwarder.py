"""The forward of one hop: a step that came to the wrong pod goes to its owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import urllib3

from linewatch.decoder.ownership.cookies import FORWARD_HEADER, Passes
from linewatch.decoder.store.answers import Owner
from linewatch.errors import AnotherPod, OwnerBusy
from linewatch.sending.connections import connection_pool

CONNECT_S: Final = 0.25
#: Longer than a lease, so that what stood still may be adopted; shorter than a sender's patience.
READ_S: Final = 1.6
_WAIT_FOR_SLOT_S: Final = 0.1
#: Addresses of pods that are gone are dropped when so many are known.
_POOLS: Final = 64
#: What is left of a process that was killed takes connections for so long.
_DYING_S: Final = 0.05
_SILENT: Final = "the call's decoder did not answer in time: send again"
_ANOTHER_POD: Final = AnotherPod("").slug()
_HANDED_BACK: Final = ("content-type", "retry-after", "set-cookie", "kne-reason")
_PASSED_ON: Final = frozenset(
    {"authorization", "content-type", "cookie", "traceparent", "x-forwarded-proto"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner answered, with those headers of it that the sender gets too."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class OwnerGone(Exception):
    """Nobody listens at the owner's address, or by now another pod does.

    Args:
        is_certain: False where this pod never reached the owner: a firewall may not know
            this pod yet, and only the lease tells whether the owner lives.
    """

    def __init__(self, *, is_certain: bool = True) -> None:
        super().__init__()
        self.is_certain = is_certain


class OwnerSilent(OwnerBusy):
    """The owner took the request and did not answer in time: it may be slow, or stand still."""


class NoSlot(OwnerBusy):
    """Too many forwards at once: one of them ends soon, so the sender's own pace will do."""

    retry_after_s = None


class Forwarder:
    """Sends requests one hop to their owner, on kept connections.

    At most half of the pod's *threads* forward at a time, so that two pods that
    forward everything to each other still serve.
    """

    def __init__(self, passes: Passes, threads: int) -> None:
        self._passes = passes
        self._slots = threading.BoundedSemaphore(max(1, threads // 2))
        self._connections = threads
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._reached: set[str] = set()
        # The pod that fell silent last, and when.
        self._silent = ("", 0.0)

    def send(
        self, owner: Owner, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Return the owner's answer.

        Args:
            owner: Whom to ask.
            method: The request's.
            path: With its query.
            headers: In lower case; those that matter are passed on.
            body: As received.

        Raises:
            OwnerGone: the connection was refused or took longer than 250 ms, or another pod
                answered: its lease may have a second left, but it is no more.
            OwnerSilent: no answer in time. Never a reason to adopt.
            OwnerBusy: a broken answer, or too many forwards at once. Likewise.
        """
        came_s = time.monotonic()
        if not self._slots.acquire(timeout=_WAIT_FOR_SLOT_S):
            raise NoSlot("too many requests are being forwarded: send again")
        try:
            self._refuse_silent(owner, came_s)
            return self._ask(owner, method, path, self._passed_on(owner, headers), body)
        finally:
            self._slots.release()

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now; requests going on keep theirs."""
        self._pools.clear()

    def _refuse_silent(self, owner: Owner, since_s: float) -> None:
        """Let nobody who waited for a slot wait as long again as whoever had it before."""
        pod, at_s = self._silent
        if pod == owner.pod and at_s >= since_s:
            raise OwnerSilent(_SILENT)

    def _passed_on(self, owner: Owner, headers: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in headers.items()
            if name.startswith("ce-") or name in _PASSED_ON
        }
        return {**kept, FORWARD_HEADER: self._passes.sign(owner.pod)}

    def _ask(
        self, owner: Owner, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        ask = partial(
            self._pool(owner.address).urlopen,
            *(method, path),
            headers=headers,
            body=body,
            redirect=False,
        )
        try:
            try:
                answer = ask()
            except urllib3.exceptions.ProtocolError:
                # It hung up, maybe as it died: a repeat is harmless, and the dead refuse it.
                time.sleep(_DYING_S)
                answer = ask()
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            raise OwnerGone(is_certain=owner.pod in self._reached) from None
        except urllib3.exceptions.ReadTimeoutError as error:
            self._silent = (owner.pod, time.monotonic())
            raise OwnerSilent(_SILENT) from error
        except urllib3.exceptions.HTTPError as error:
            raise OwnerBusy(
                f"the call's decoder did not answer ({type(error).__name__}): send again"
            ) from error
        if answer.headers.get("kne-reason") == _ANOTHER_POD:
            raise OwnerGone
        self._reached.add(owner.pod)
        kept = {name: answer.headers[name] for name in _HANDED_BACK if name in answer.headers}
        return Answer(answer.status, kept, answer.data)

    def _pool(self, address: str) -> urllib3.HTTPConnectionPool:
        pool = self._pools.get(address)
        if pool is None:
            if len(self._pools) >= _POOLS:
                self._pools.clear()
            timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
            pool = connection_pool(address, timeout, self._connections, retries=False)
            self._pools[address] = pool
        return pool
