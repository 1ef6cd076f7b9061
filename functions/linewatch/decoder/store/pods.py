"""Decoder pods in Redis: their leases and load, and how full the store is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import cast

from linewatch import keys
from linewatch.calls import ChannelKey
from linewatch.decoder.store import partials
from linewatch.decoder.store.access import Access, answering, text
from linewatch.decoder.store.answers import Pod, Pressure
from linewatch.events import PARTITIONS


class Pods(Access):
    """The living decoders, and what they show."""

    def renew(self, facts: Mapping[str, str | int]) -> None:
        """Renew this pod's lease and show its *facts*."""
        self._run(
            "renew",
            [keys.pod(self.pod), keys.PODS],
            [self.pod, keys.POD_LEASE_MS, *chain(*facts.items())],
        )

    def extend(self) -> bool:
        """Keep this pod's lease; tell whether it had not run out."""
        with answering():
            return bool(self._redis.pexpire(keys.pod(self.pod), keys.POD_LEASE_MS))

    def retire(self) -> None:
        """Drop the lease at once: this pod's sessions may be adopted."""
        with answering():
            self._redis.delete(keys.pod(self.pod))
            self._redis.srem(keys.PODS, self.pod)

    def pods(self) -> list[Pod]:
        """Return the living pods and forget the dead."""
        with answering():
            members = cast("set[bytes]", self._redis.smembers(keys.PODS))
            ids = sorted(map(text, members))
            with self._redis.pipeline(transaction=False) as pipe:
                for pod in ids:
                    pipe.hmget(keys.pod(pod), "address", "sessions", "capacity")
                found = dict(zip(ids, pipe.execute(), strict=True))
            dead = [pod for pod, (address, *_) in found.items() if address is None]
            if dead:
                self._redis.srem(keys.PODS, *dead)
        return [
            Pod(pod, text(address), int(sessions or 0), int(capacity or 0))
            for pod, (address, sessions, capacity) in found.items()
            if address is not None
        ]

    def pressure(self) -> Pressure:
        """Tell how full the store is."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.info("memory")
            for partition in range(PARTITIONS):
                pipe.xlen(keys.outbox(partition))
            memory, *lengths = pipe.execute()
        limit = int(memory.get("maxmemory") or 0)
        used = int(memory["used_memory"]) / limit if limit else 0.0
        return Pressure(used, sum(lengths), str(memory.get("maxmemory_policy", "")))

    def show_partials(self, shown: Mapping[ChannelKey, str]) -> None:
        """Show the words being spoken; an empty text removes them."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            partials.show(pipe, shown)
            pipe.execute()
