"""Where a session should live: what this pod knows of the others, refreshed by a tick."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from linewatch.calls import ChannelKey
from linewatch.decoder.store.answers import Owner, Pod, Pressure

_REMEMBERED: Final = 8192
#: Looks for which an owner is noted: calls end without a word to who only passed them on.
_NOTED: Final = 120
#: Above this part of Redis' memory or of the outbox's limit no new call is taken.
FULL: Final = 0.8
#: A pod gives sessions up when it owns so many times its share.
UNEVEN: Final = 1.25
#: ...but only once the same pods were there for so many looks: in a roll-out they come one by
#: one, and what is given to the first would have to move again.
SETTLED: Final = 15
#: A pod that owns so many less takes what nobody owns; what is known of it is a second old.
EMPTIER: Final = 3
_UNKNOWN_EPOCH: Final = -1


class Placing:
    """Remembers owners, knows the living pods, and decides about new calls.

    Args:
        pod: This pod's id.
        capacity: Channels it takes.
        outbox_limit: Records that may wait for the event log.
    """

    def __init__(self, pod: str, capacity: int, outbox_limit: int) -> None:
        self._pod = pod
        self._capacity = capacity
        self._outbox_limit = outbox_limit
        self._pods: dict[str, Pod] = {}
        self._alike = 0
        self._pressure = Pressure(0.0, 0)
        self._looks = 0
        # With the look at which it was noted, oldest first.
        self._owners: OrderedDict[ChannelKey, tuple[Owner, int]] = OrderedDict()

    def refresh(self, pods: Sequence[Pod], pressure: Pressure) -> None:
        """Take in what the store says."""
        seen = {pod.pod: pod for pod in pods}
        self._alike = self._alike + 1 if seen.keys() == self._pods.keys() else 0
        self._pods = seen
        self._pressure = pressure
        self._looks += 1
        self._forget_older(self._looks - _NOTED)

    def _forget_older(self, look: int) -> None:
        # Others note and forget meanwhile.
        for key, (_, noted_at) in self._owners.copy().items():
            if noted_at >= look:
                break
            self.forget(key)

    def remember(self, key: ChannelKey, owner: Owner) -> None:
        """Note who owns a session."""
        self._owners[key] = owner, self._looks
        self._owners.move_to_end(key)
        if len(self._owners) > _REMEMBERED:
            self._owners.popitem(last=False)

    def forget(self, key: ChannelKey) -> None:
        """Drop what was noted: it proved wrong."""
        self._owners.pop(key, None)

    def doubt(self, pod_id: str) -> None:
        """Forget all that was noted of a silent pod: the store knows whether it still lives."""
        self._pods.pop(pod_id, None)
        noted = [key for key, (owner, _) in self._owners.copy().items() if owner.pod == pod_id]
        for key in noted:
            self.forget(key)

    def likely_owner(self, key: ChannelKey, hinted: str | None) -> Owner | None:
        """Return the pod to ask first: one noted, else one that a cookie names, if alive."""
        noted = self._owners.get(key)
        if noted:
            return noted[0]
        return self._owner(hinted) if hinted and hinted != self._pod else None

    def other(self, sessions: float = math.inf) -> Owner | None:
        """Return the emptiest other pod, if it has room and owns less than *sessions*.

        It counts as one fuller from now on, until the next look.
        """
        if self.is_store_full():
            return None
        others = [
            pod
            for pod in self._pods.values()
            if pod.pod != self._pod and pod.sessions < min(pod.capacity, sessions)
        ]
        emptiest = min(others, key=lambda pod: pod.sessions, default=None)
        if emptiest is None:
            return None
        self._pods[emptiest.pod] = replace(emptiest, sessions=emptiest.sessions + 1)
        return self._owner(emptiest.pod)

    def emptier(self, sessions: int) -> Owner | None:
        """Return a pod that owns so much less than *sessions* that it takes what nobody owns.

        That is any that owns less, where this pod would soon give up what it takes. Where there
        is none this pod takes it, and counts as one fuller until the next look: both channels of
        a call come at once.
        """
        mine = self._pods.get(self._pod)
        fuller = max(sessions, mine.sessions) if mine else sessions
        less = 1 if self._above_share(fuller + 1) else EMPTIER
        other = self.other(fuller - less + 1)
        if mine and other is None:
            self._pods[self._pod] = replace(mine, sessions=fuller + 1)
        return other

    def excess(self, sessions: int) -> int:
        """Return how many of *sessions* this pod owns above its share, if its pods are settled."""
        return self._above_share(sessions) if self._alike >= SETTLED else 0

    def _above_share(self, sessions: int) -> int:
        others = sum(pod.sessions for pod in self._pods.values() if pod.pod != self._pod)
        share = math.ceil((others + sessions) / max(1, len(self._pods)))
        return sessions - share if sessions > max(share * UNEVEN, share + 1) else 0

    def admits(self, sessions: int) -> bool:
        """Tell whether this pod, which owns *sessions*, may make another."""
        return sessions < self._capacity and not self.is_store_full()

    def is_store_full(self) -> bool:
        """Tell whether Redis or the outbox runs full: no new call is taken then."""
        memory_full = self._pressure.memory >= FULL
        return memory_full or self._pressure.outbox >= FULL * self._outbox_limit

    def _owner(self, pod_id: str) -> Owner | None:
        pod = self._pods.get(pod_id)
        return Owner(pod.pod, _UNKNOWN_EPOCH, pod.address) if pod else None
