"""The road of one step: mine, or forwarded one hop, or adopted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from linewatch.calls import CallStart, ChannelKey, Chunk, Step
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.ownership.forwarder import Answer, Forwarder, OwnerGone, OwnerSilent
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.sessions import Reply, Sessions
from linewatch.decoder.store.answers import Owner
from linewatch.errors import Misdirected, NotFound, Overloaded, OwnerBusy, SessionMoved

#: One may have been suggested, one recorded; another may have adopted first.
_OWNERS_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """A step and the request it came in, in case it has to be passed on.

    *hinted* is the pod a cookie names, *forwarded* tells that another pod sent it.
    """

    key: ChannelKey
    step: Step
    after: int | None
    start: CallStart | None
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    hinted: str | None = None
    forwarded: bool = False


class Road:
    """Finds out whose step it is and gets it answered."""

    def __init__(
        self, sessions: Sessions, placing: Placing, forwarder: Forwarder, metrics: Metrics
    ) -> None:
        self._sessions = sessions
        self._placing = placing
        self._forwarder = forwarder
        self._metrics = metrics
        self._coming: set[ChannelKey] = set()
        self._guard = threading.Lock()

    def travel(self, passage: Passage) -> Reply | Answer:
        """Answer the step here, or return its owner's answer.

        Raises:
            LinewatchError: what the sender is told.
        """
        try:
            return self._travel(passage)
        except OwnerSilent:
            # If it stood still, its lease is gone by now; if it lives, it keeps the session.
            found = self._here(passage)
            if isinstance(found, Owner):
                raise
            return found

    def admit(self, is_known: Callable[[], bool]) -> None:
        """Return if a call may be announced: one that *is_known*, or where the store has room.

        Raises:
            Overloaded: it may not, as its audio might not.
        """
        if self._placing.is_store_full() and not is_known():
            self._refuse()

    def _travel(self, passage: Passage) -> Reply | Answer:
        if passage.key not in self._sessions and not passage.forwarded:
            answer = self._ask_likely(passage) or self._ask_emptier(passage)
            if answer:
                return answer
        found = self._here(passage)
        if isinstance(found, Owner):
            return self._hand_over(passage, found)
        self._placing.forget(passage.key)
        return found

    def _ask_likely(self, passage: Passage) -> Answer | None:
        owner = self._placing.likely_owner(passage.key, passage.hinted)
        if owner is None:
            return None
        try:
            answer = self._forward(passage, owner)
        except OwnerGone:
            self._placing.forget(passage.key)
            return None
        except OwnerBusy:
            # Asked first without the store: its lease may have expired long since.
            self._placing.forget(passage.key)
            raise
        if answer.status == Misdirected.status:
            self._placing.forget(passage.key)
            return None
        return answer

    def _ask_emptier(self, passage: Passage) -> Answer | None:
        """Let a pod that owns less take what nobody owns, which need not move once more then."""
        if not isinstance(passage.step, Chunk) or self._sessions.is_owned(passage.key):
            return None
        other = self._placing.emptier(len(self._sessions))
        if other is None:
            return None
        try:
            answer = self._forward(passage, other)
        except OwnerGone:
            return None
        if answer.status in {Misdirected.status, Overloaded.status}:
            return None
        self._placing.remember(passage.key, other)
        return answer

    def _here(self, passage: Passage) -> Reply | Owner:
        if self._sessions.has_given_up(passage.key):
            if passage.forwarded:
                raise Misdirected("this pod gave the session up")
            other = self._placing.other(len(self._sessions))
            if other:
                return other
        try:
            return self._take(passage, None)
        except NotFound:
            if not isinstance(passage.step, Chunk):
                raise
        other = None if passage.forwarded else self._placing.other()
        return other or self._refuse()

    def _refuse(self) -> NoReturn:
        self._metrics.refused.inc()
        raise Overloaded("every decoder is full: send again later")

    def _take(self, passage: Passage, dead: Owner | None) -> Reply | Owner:
        with self._admitted(passage) as start:
            return self._sessions.take(
                passage.key, passage.step, after=passage.after, start=start, dead=dead
            )

    @contextmanager
    def _admitted(self, passage: Passage) -> Iterator[CallStart | None]:
        """Return what the session is made of if there is room, which is nobody else's then."""
        if passage.start is None or passage.key in self._sessions:
            yield passage.start
            return
        with self._guard:
            coming = sum(key not in self._sessions for key in self._coming)
            admits = self._placing.admits(len(self._sessions) + coming)
            mine = {passage.key} if admits else set()
            self._coming |= mine
        try:
            yield passage.start if admits else None
        finally:
            with self._guard:
                self._coming -= mine

    def _hand_over(self, passage: Passage, owner: Owner) -> Reply | Answer:
        if passage.forwarded:
            raise Misdirected("the session is not this pod's")
        for _ in range(_OWNERS_TRIED):
            try:
                return self._forwarded(passage, owner)
            except OwnerGone as gone:
                found = self._adopt(passage, owner if gone.is_certain else None)
            if isinstance(found, Reply):
                return found
            owner = found
        raise OwnerBusy("the call's decoder cannot be reached: send again")

    def _adopt(self, passage: Passage, dead: Owner | None) -> Reply | Owner:
        try:
            return self._take(passage, dead)
        except NotFound:
            # A new call that the emptiest pod should have taken, which just died.
            if isinstance(passage.step, Chunk):
                self._refuse()
            raise

    def _forwarded(self, passage: Passage, owner: Owner) -> Answer:
        answer = self._forward(passage, owner)
        if answer.status == Misdirected.status:
            self._placing.forget(passage.key)
            # If both gave it up, neither would ever take it again.
            self._sessions.relent(passage.key)
            raise SessionMoved("the call just moved to another decoder: send again")
        self._placing.remember(passage.key, owner)
        return answer

    def _forward(self, passage: Passage, owner: Owner) -> Answer:
        try:
            answer = self._forwarder.send(
                owner, passage.method, passage.path, passage.headers, passage.body
            )
        except OwnerSilent:
            # Else every call of a pod that stands still would wait for it in turn.
            self._placing.doubt(owner.pod)
            raise
        self._metrics.forwards.inc()
        return answer
