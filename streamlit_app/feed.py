"""The board as all viewers share it: one read a second, and the last good one when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

from linewatch.board.rows import CallDetail, Snapshot
from linewatch.errors import StoreRefused, StoreUnavailable
from streamlit_app.strip import waiting

TTL_S: Final = 0.9
_DETAIL_KEPT_S: Final = 60.0
_LOG = logging.getLogger(__name__)


class Source(Protocol):
    """What is read: `linewatch.board.store.Board`."""

    def snapshot(self, tenant: str) -> Snapshot:
        """Return the whole board."""

    def detail(self, tenant: str, call: str) -> CallDetail | None:
        """Return one call, or None if the board does not know it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A snapshot and how old it is; None if the store never answered.

    ``stuck_s`` is how long events have been waiting while none reached the board.
    """

    snapshot: Snapshot | None
    age_s: float
    stuck_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    read_at_s: float
    detail: CallDetail | None


class Feed:
    """Reads one tenant's board at most once per *ttl_s*, however many ask and how often."""

    def __init__(
        self,
        board: Source,
        tenant: str,
        ttl_s: float = TTL_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board, self._tenant = board, tenant
        self._ttl_s, self._clock_s = ttl_s, clock_s
        self._lock = Lock()
        self._snapshot: Snapshot | None = None
        self._read_at_s = self._tried_at_s = float("-inf")
        self._moved_at_s = clock_s()
        self._details: dict[str, _Kept] = {}
        self._fails = self._warned = False

    def read(self) -> Reading:
        """Return the newest snapshot there is; a store that is away makes it grow old."""
        with self._lock:
            if self._clock_s() - self._tried_at_s >= self._ttl_s:
                self._refresh()
            if self._snapshot is None:
                return Reading(None, 0.0)
            age_s = self._clock_s() - self._read_at_s
            return Reading(self._snapshot, age_s, self._read_at_s - self._moved_at_s)

    def _refresh(self) -> None:
        try:
            self._take(self._board.snapshot(self._tenant))
        except StoreRefused as error:
            self._say(error.detail, fails=True)
        except StoreUnavailable:
            self._say("the store does not answer", fails=True)
        else:
            self._say("the store answers again", fails=False)
        finally:
            self._tried_at_s = self._clock_s()

    def _take(self, snapshot: Snapshot) -> None:
        newest_at_ms = self._snapshot.newest_at_ms if self._snapshot else None
        if snapshot.unreadable and not self._warned:
            _LOG.warning("dashboard: newer code wrote %d rows or alerts", len(snapshot.unreadable))
            self._warned = True
        self._snapshot, self._read_at_s = snapshot, self._clock_s()
        if not waiting(snapshot) or snapshot.newest_at_ms != newest_at_ms:
            self._moved_at_s = self._read_at_s

    def _say(self, words: str, *, fails: bool) -> None:
        if fails != self._fails:
            _LOG.warning("dashboard: %s", words)
        self._fails = fails

    def detail(self, call: str) -> CallDetail | None:
        """Return one call's detail, at most *ttl_s* old while the store answers."""
        with self._lock:
            kept = self._details.get(call)
            fresh = kept and self._clock_s() - kept.read_at_s < self._ttl_s
            if fresh or self._fails:
                return kept.detail if kept else None
            try:
                found = self._board.detail(self._tenant, call)
            except StoreUnavailable:
                return kept.detail if kept else None
            self._forget()
            self._details[call] = _Kept(self._clock_s(), found)
            return found

    def _forget(self) -> None:
        """Drop details that nobody looks at any more."""
        now_s = self._clock_s()
        self._details = {
            call: kept
            for call, kept in self._details.items()
            if now_s - kept.read_at_s < _DETAIL_KEPT_S
        }
