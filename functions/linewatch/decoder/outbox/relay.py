"""The relay: takes records from the outbox to the event log, in order, losing none.

One drainer per outbox partition, by a lease. It reads from the head, publishes,
awaits the log's acknowledgement and only then deletes. A takeover starts at the
head again, so first occurrences keep their order and repeats are equal bytes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from linewatch import keys
from linewatch.decoder.outbox.leases import Leases
from linewatch.errors import LinewatchError, Unavailable
from linewatch.eventlog.protocol import KEPT_S, LogWriter
from linewatch.eventlog.redis_connections import refusal
from linewatch.events import Record

log = logging.getLogger(__name__)

UNREADABLE_KEPT: Final = 1_000
_BATCH = 64
#: A third of the lease: two renewals may fail.
_RENEW_S = keys.POD_LEASE_MS / 3000
#: So much later than due a turn still keeps its leases. The log's own limit is longer, so that a
#: pod that cannot reach it loses them to one that can.
_PATIENCE_S: Final = 1.0
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0)
_Entry = tuple[bytes, Mapping[bytes, bytes]]

# A lease that ran out and that nobody took is taken again: what was acknowledged goes, once.
# It goes first: a full Redis refuses a script whose first write needs memory, and all would be
# published again and again.
# KEYS: lease, outbox. ARGV: pod, expiry in ms, ids of entries. Returns 0 if it is another's.
_DELETE = """
local owner = redis.call('GET', KEYS[1]) or ARGV[1]
if owner ~= ARGV[1] then return 0 end
redis.call('XDEL', KEYS[2], unpack(ARGV, 3))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# Moved in one piece, so that a full Redis takes it.
# KEYS: outbox, stream, set of streams. ARGV: entry, how many are kept, expiry in s, then fields.
# Returns 0 if another did it.
_SET_ASIDE = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[2], '*', unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""


class Relay:
    """Drains this pod's share of the outbox on a thread of its own; another keeps its leases.

    *client* must wait longer than half a second for a blocking read: see `connect`.
    """

    def __init__(
        self,
        client: Redis,
        writer: LogWriter,
        pod_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._writer = writer
        self._pod_id = pod_id
        self._clock = clock
        self._leases = Leases(client, pod_id, clock)
        self._delete = client.register_script(_DELETE)
        self._move = client.register_script(_SET_ASIDE)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name="outbox leases", daemon=True)
        self._update_at = 0.0
        #: Records the log acknowledged since the start.
        self.published = 0

    @property
    def held(self) -> frozenset[int]:
        """The partitions this pod drains now."""
        return self._leases.held

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()
        self._keeper.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Finish the batch in hand, give the leases back and end the threads."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if self._ended.is_set():
            # It may be renewing: the client is closed next.
            self._keeper.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self.turn()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the thread's edge: it must outlive any outage
                failures += 1
                self._after_failure(failures, error)
        try:
            self._leases.release(self.held)
        except RedisError:
            log.warning("relay: leases not given back, they expire by themselves")
        self._ended.set()

    def _keep(self) -> None:
        """Renew while the log takes long to acknowledge: another pod would write it all again."""
        while not self._ended.wait(_RENEW_S):
            if self._clock() < self._update_at + _PATIENCE_S:
                with contextlib.suppress(RedisError):
                    self._leases.extend()

    def _after_failure(self, failures: int, error: Exception) -> None:
        self._update_at = 0.0
        if failures == 1:
            told = refusal(error) or getattr(error, "detail", type(error).__name__)
            log.warning("relay: waits, %s", told)
        known = isinstance(error, RedisError | Unavailable | OSError)
        if not known:
            log.error("relay: unexpected %s, goes on", type(error).__name__)
        self._stopping.wait(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1])

    def turn(self) -> int:
        """Renew the leases if due, wait for entries, pass them on; return how many.

        Raises:
            RedisError: Redis did not answer.
            Unavailable: the log did not acknowledge; nothing was deleted.
        """
        now = self._clock()
        if now >= self._update_at:
            self._leases.update()
            self._update_at = now + _RENEW_S
        wait_s = max(self._update_at - self._clock(), 0.001)
        if not self.held:
            self._stopping.wait(wait_s)
            return 0
        found = self._read(math.ceil(wait_s * 1000))
        passed_on = self._pass_on(found)
        self.published += passed_on
        self._forget((p, entry_id) for p, (entry_id, _), _ in found)
        return passed_on

    def _pass_on(self, found: Sequence[tuple[int, _Entry, Record | None]]) -> int:
        try:
            self._writer.publish([record for _, _, record in found if record is not None])
        except Unavailable:
            raise
        except LinewatchError:
            return sum(self._pass_on_one(*each) for each in found)
        for partition, entry, record in found:
            if record is None:
                self._set_aside(partition, entry, "it is no record")
        return sum(record is not None for _, _, record in found)

    def _pass_on_one(self, partition: int, entry: _Entry, record: Record | None) -> bool:
        if record is None:
            self._set_aside(partition, entry, "it is no record")
            return False
        try:
            self._writer.publish([record])
        except Unavailable:
            raise
        except LinewatchError as error:
            self._set_aside(partition, entry, error.detail)
            return False
        return True

    def _read(self, wait_ms: int) -> list[tuple[int, _Entry, Record | None]]:
        partition_of = {keys.outbox(p).encode(): p for p in self.held}
        heads: dict[Any, Any] = dict.fromkeys(partition_of, "0-0")
        streams: Any = self._client.xread(heads, count=_BATCH, block=wait_ms)
        return [
            (partition_of[stream], entry, _record(entry[1]))
            for stream, entries in streams
            for entry in entries
        ]

    def _set_aside(self, partition: int, entry: _Entry, reason: str) -> None:
        entry_id, fields = entry
        kept: list[Any] = [*chain(*fields.items()), b"reason", reason]
        moved = self._move(
            keys=[keys.outbox(partition), keys.log(keys.UNREADABLE, partition), keys.LOGS],
            args=[entry_id, UNREADABLE_KEPT, KEPT_S, *kept],
        )
        if moved:
            log.error("relay: an entry of partition %d is set aside: %s", partition, reason)

    def _forget(self, passed_on: Iterable[tuple[int, bytes]]) -> None:
        entry_ids: dict[int, list[bytes]] = {}
        for partition, entry_id in passed_on:
            entry_ids.setdefault(partition, []).append(entry_id)
        for partition, those in entry_ids.items():
            pair = [keys.outbox_lease(partition), keys.outbox(partition)]
            if not self._delete(keys=pair, args=[self._pod_id, keys.POD_LEASE_MS, *those]):
                self._leases.drop(partition)


def _record(fields: Mapping[bytes, bytes]) -> Record | None:
    """Return the record, or nothing if no log could take it."""
    try:
        record = Record.of_fields(fields)
    except (KeyError, UnicodeDecodeError):
        return None
    # A NUL in a key holds up a whole Kafka partition.
    return record if record.topic and "\0" not in record.key else None
