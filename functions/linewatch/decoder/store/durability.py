"""Whether what was committed would survive a crash of Redis, which writes to disk once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from redis import Redis, RedisError
from redis.exceptions import ResponseError

from linewatch import keys
from linewatch.eventlog.redis_connections import is_misplaced, unavailable
from linewatch.events import partition_of

#: One look at the disk takes no longer: the log may have acknowledged meanwhile.
_LOOK_MS: Final = 50
_PAUSE_S: Final = 0.01


class Durability:
    """Waits until a call's events are in a log outside of this Redis, or on its disk.

    Args:
        client: It waits longer for an answer than 50 ms.
        has_log_elsewhere: Whether relays bring the outbox to Kafka: a log in Redis is lost with it.
        monotonic_s: The time.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        client: Redis,
        *,
        has_log_elsewhere: bool,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # Streams' replies have no useful types in redis-py.
        self._client: Any = client
        self._has_log_elsewhere = has_log_elsewhere
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._knows_disk = True

    def is_kept(self, call: str, within_s: float) -> bool:
        """Wait up to *within_s* until all that the outbox has of *call* now is kept.

        Returns:
            Whether it is: not by a Redis older than 7.2, or without an append-only file, unless
            the log lies elsewhere and answers.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        ends_s = self._monotonic_s() + within_s
        try:
            return self._wait(keys.outbox(partition_of(call)), ends_s)
        except RedisError as error:
            raise unavailable(
                error, "Redis does not answer: send the same request again"
            ) from error

    def _wait(self, outbox: str, ends_s: float) -> bool:
        newest = self._client.xrevrange(outbox, count=1)
        last = _order(newest[0][0]) if newest else (0, 0)
        while not (self._is_published(outbox, last) or self._is_on_disk()):
            if self._monotonic_s() >= ends_s:
                return False
            if not self._knows_disk:
                self._sleep(_PAUSE_S)
        return True

    def _is_published(self, outbox: str, last: tuple[int, int]) -> bool:
        """Tell whether a relay deleted everything up to *last*: the log acknowledged it then."""
        if not self._has_log_elsewhere:
            return False
        oldest = self._client.xrange(outbox, count=1)
        return not oldest or _order(oldest[0][0]) > last

    def _is_on_disk(self) -> bool:
        """Tell whether everything that was written before is on disk; wait a little for it."""
        if not self._knows_disk:
            return False
        try:
            with self._client.pipeline(transaction=False) as pipe:
                # It waits for what came before the last command of its own connection.
                pipe.time()
                pipe.waitaof(1, 0, _LOOK_MS)
                _, (local, _) = pipe.execute()
        except ResponseError as error:
            if is_misplaced(error):
                raise
            self._knows_disk = False
            return False
        return bool(local)


def _order(entry_id: bytes) -> tuple[int, int]:
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number)
