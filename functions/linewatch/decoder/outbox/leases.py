"""The leases of the outbox: which pod drains which partition."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from linewatch import keys
from linewatch.events import PARTITIONS

if TYPE_CHECKING:
    from redis import Redis

_GRACE_S: Final = keys.POD_LEASE_MS / 1000

# KEYS: leases. ARGV: pod, expiry in ms. Returns every lease's owner, '' for none.
_RENEW = """
local owners = {}
for i, lease in ipairs(KEYS) do
  local owner = redis.call('GET', lease) or ''
  if owner == ARGV[1] then redis.call('PEXPIRE', lease, ARGV[2]) end
  owners[i] = owner
end
return owners
"""
# The first write needs no memory, so that a full Redis takes the second, too: else a partition
# whose pod is gone would not be drained.
# KEYS: lease. ARGV: pod, expiry in ms. Returns whether it was free.
_TAKE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# KEYS: leases. ARGV: pod.
_RELEASE = """
for _, lease in ipairs(KEYS) do
  if redis.call('GET', lease) == ARGV[1] then redis.call('DEL', lease) end
end
"""


def share(live_pods: int) -> int:
    """Return how many partitions one of *live_pods* pods may drain."""
    return math.ceil(PARTITIONS / max(live_pods, 1))


class Leases:
    """The outbox partitions this pod drains."""

    def __init__(self, client: Redis, pod_id: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._pod_id = pod_id
        self._clock = clock
        self._renew = client.register_script(_RENEW)
        self._take_free = client.register_script(_TAKE)
        self._release = client.register_script(_RELEASE)
        self._live: frozenset[str] = frozenset()
        self._free_since: dict[int, float] = {}
        self.held: frozenset[int] = frozenset()

    def update(self) -> None:
        """Renew what is held, take what is due, give back the excess when a pod joined."""
        found = self._renew(
            keys=[keys.outbox_lease(p) for p in range(PARTITIONS)],
            args=[self._pod_id, keys.POD_LEASE_MS],
        )
        owners = [owner.decode() for owner in found]
        self.held = frozenset(p for p, owner in enumerate(owners) if owner == self._pod_id)
        live = self._live_pods()
        joined, self._live = live - self._live, live
        if joined - {self._pod_id}:
            self.release(sorted(self.held)[share(len(live)) :])
        self._take(p for p, owner in enumerate(owners) if not owner)

    def extend(self) -> None:
        """Renew what is held; unlike the rest, safe beside a thread that does the rest."""
        held = [keys.outbox_lease(p) for p in self.held]
        if held:
            self._renew(keys=held, args=[self._pod_id, keys.POD_LEASE_MS])

    def release(self, partitions: Iterable[int]) -> None:
        """Give *partitions* back, so that another pod may take them at once."""
        given = frozenset(partitions) & self.held
        if given:
            self._release(keys=[keys.outbox_lease(p) for p in given], args=[self._pod_id])
            self.held -= given

    def drop(self, partition: int) -> None:
        """Forget a lease that another pod took."""
        self.held -= {partition}

    def _live_pods(self) -> frozenset[str]:
        pods = sorted(self._client.smembers(keys.PODS))
        names = [pod.decode() if isinstance(pod, bytes) else str(pod) for pod in pods]
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(keys.pod(name))
            alive = pipe.execute()
        return frozenset(n for n, here in zip(names, alive, strict=True) if here) | {self._pod_id}

    def _take(self, free: Iterable[int]) -> None:
        now = self._clock()
        self._free_since = {p: self._free_since.get(p, now) for p in free}
        most = share(len(self._live))
        for partition, since in self._free_since.items():
            # Beyond the share only what nobody else wanted: no partition stays undrained.
            if len(self.held) >= most and now - since < _GRACE_S:
                continue
            lease = [keys.outbox_lease(partition)]
            if self._take_free(keys=lease, args=[self._pod_id, keys.POD_LEASE_MS]):
                self.held |= {partition}
