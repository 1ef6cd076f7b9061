"""The pod's own threads: its lease, its housekeeping, its reaper."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from linewatch import keys
from linewatch.calls import ChannelKey
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.sessions import Sessions
from linewatch.decoder.ownership.watchdog import TICK_S, Watchdog
from linewatch.decoder.store.answers import Pressure
from linewatch.decoder.store.store import Store
from linewatch.errors import (
    CallEnded,
    LinewatchError,
    NotFound,
    StoreRefused,
    StoreUnavailable,
)

log = logging.getLogger(__name__)

PARTIALS_S: Final = 0.25
REFRESH_S: Final = 1.0
#: How full the store is changes slowly, and asking costs Redis a page of text.
GAUGE_EVERY: Final = 5
REAP_S: Final = 1.0
RELENT_S: Final = 10.0
#: After a rush most connections would stay open for nothing.
TIDY_S: Final = 60.0
_KEEPS_ALL: Final = "noeviction"


class Repeating:
    """Runs *work* every *every_s* in a thread of its own, whatever the store does."""

    def __init__(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        self._every_s = every_s
        self._work = work
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop before the next run and wait for the one going on."""
        self._stopped.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        failing = False
        while not self._stopped.wait(self._every_s):
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - the thread's edge: a lease must outlive any fault
                if not failing:
                    kind = type(error).__name__
                    reason = error.detail if isinstance(error, StoreRefused) else kind
                    log.warning("%s waits: %s", self._thread.name, reason)
                failing = True
            else:
                failing = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pod tells of itself."""

    address: str
    digest: str
    capacity: int
    started_at_ms: int


class Housekeeping:
    """Keeps the lease alive and the house in order.

    Args:
        store: Where the lease and the sessions are.
        sessions: Those this pod owns.
        placing: Told about the other pods.
        metrics: Shown with the lease.
        watchdog: Ticked.
        facts: Told with the lease.
        now_ms: The time, for tombstones.
        idle_s: A channel without a step for so long is parked...
        abandon_s: ...and a call given up of which no channel got one for so long...
        paused_s: ...or for so long, if its sender said that it paused, or never sent.
        tidy: Called once a minute.
    """

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        placing: Placing,
        metrics: Metrics,
        watchdog: Watchdog,
        *,
        facts: Facts,
        now_ms: Callable[[], int],
        idle_s: float,
        abandon_s: float,
        paused_s: float,
        tidy: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._placing = placing
        self._metrics = metrics
        self._watchdog = watchdog
        self._facts = facts
        self._now_ms = now_ms
        self._idle_s = idle_s
        self._abandon_s = max(abandon_s, idle_s)
        self._paused_s = max(paused_s, self._abandon_s)
        self._tidy = tidy
        self._threads: list[Repeating] = []
        self._pressure = Pressure(0.0, 0)
        self._refreshed = 0
        #: What to set where Redis refuses this pod; "" where it does not.
        self.refusal = ""

    def start(self) -> None:
        """Take the lease and start the threads."""
        try:
            self.refresh()
        except StoreUnavailable as error:
            log.warning("starting without the store: %s", error.detail)
        self._threads = [
            Repeating("lease", keys.POD_RENEW_S, self.extend),
            Repeating("watchdog", TICK_S, self._watchdog.tick),
            Repeating("partials", PARTIALS_S, self.show_partials),
            Repeating("placing", REFRESH_S, self.refresh),
            Repeating("reaper", REAP_S, self.reap),
            Repeating("relenting", RELENT_S, self._sessions.forget_given_up),
            *(Repeating("tidying", TIDY_S, work) for work in self._tidy),
        ]

    def stop(self) -> None:
        """Stop the threads and drop the lease: other pods adopt at once."""
        for thread in self._threads:
            thread.stop()
        try:
            self._store.retire()
        except StoreUnavailable:
            log.warning("the lease was not dropped: it expires by itself")

    def extend(self) -> None:
        """Keep the lease; take it anew if it ran out."""
        try:
            if not self._store.extend():
                self.renew()
        except StoreRefused as error:
            self.refusal = error.detail
            raise
        self.refusal = ""

    def renew(self) -> None:
        """Take or keep the lease and show this pod's load."""
        self._store.renew(
            {
                "address": self._facts.address,
                "digest": self._facts.digest,
                "capacity": self._facts.capacity,
                "started_at_ms": self._facts.started_at_ms,
                "sessions": len(self._sessions),
                **self._metrics.shown(),
            }
        )

    def refresh(self) -> None:
        """Show this pod's load, look at the others, give up what is above its share."""
        self.renew()
        if self._refreshed % GAUGE_EVERY == 0:
            self._gauge()
        self._refreshed += 1
        self._placing.refresh(self._store.pods(), self._pressure)
        excess = self._placing.excess(len(self._sessions))
        if excess:
            self._sessions.ask_for_release(excess)

    def _gauge(self) -> None:
        before, self._pressure = self._pressure.policy, self._store.pressure()
        self._metrics.outbox.set(self._pressure.outbox)
        self._metrics.store_used.set(self._pressure.memory)
        policy = self._pressure.policy
        if policy not in (before, "", _KEEPS_ALL):
            log.error(
                "Redis throws calls away once it is full (maxmemory-policy %s): set %s",
                policy,
                _KEEPS_ALL,
            )

    def show_partials(self) -> None:
        """Show the words being spoken."""
        partials = self._sessions.take_partials()
        if partials:
            self._store.show_partials(partials)

    def reap(self) -> None:
        """Park the channels on which nothing comes, give up the calls to which nobody came back.

        The store's clock goes on here: it stands still while the store is away, so that time
        does not count.
        """
        self._store.tick()
        for key in self._store.idle(self._idle_s):
            self._leave_if_refused(partial(self._park, key))
        for tenant, call in self._store.quiet(self._abandon_s):
            self._leave_if_refused(partial(self._abandon, tenant, call))

    def _leave_if_refused(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreUnavailable:
            raise
        except LinewatchError as error:
            log.info("a silent channel is left for later: %s", error.title)

    def _park(self, key: ChannelKey) -> None:
        try:
            self._sessions.park(key, self._idle_s)
        except (CallEnded, NotFound):
            self._store.forget_idle(key)

    def _abandon(self, tenant: str, call: str) -> None:
        abandoned = self._store.abandon(
            tenant, call, self._now_ms(), quiet_s=self._abandon_s, paused_s=self._paused_s
        )
        self._metrics.abandoned.inc(abandoned)
