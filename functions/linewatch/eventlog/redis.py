"""The local event log: Redis streams, one a partition of a topic, read by consumer groups.

See `linewatch.eventlog.protocol`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from linewatch import keys
from linewatch.eventlog.protocol import KEPT_S, DeadLetters, Group, Member
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis_connections import check, unavailable
from linewatch.eventlog.redis_member import RedisMember
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from linewatch.events import PARTITIONS, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

#: A topic that no group reads keeps about so many of its last records.
KEPT: Final = 10_000
#: What every group acknowledged stays for so long after it was written, and a minute: the
#: scores are compared with it. Where memory is short it goes at once.
COMPARED_S: Final = 600
_TRIMMED_S: Final = COMPARED_S + 60
#: At four fifths of it new calls are refused.
_SHORT_OF_MEMORY: Final = 0.5
#: A consumer that did not touch an entry for so long is taken for dead.
CLAIM_IDLE_MS: Final = 5_000
_READ_S: Final = 1.0
_PAGE: Final = 500
_ALL: Final = tuple(range(PARTITIONS))
# Entries one millisecond can hold, when its ids are to be one number.
_A_MS: Final = 1_000_000


def _script(name: str) -> str:
    return resources.files("linewatch.eventlog").joinpath(f"{name}.lua").read_text("utf-8")


def _entry(partition: int, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    ms, _, sequence = entry_id.decode().partition("-")
    return Entry(partition, int(ms) * _A_MS + int(sequence), fields, int(ms))


def _id(offset: int) -> str:
    return f"{offset // _A_MS}-{offset % _A_MS}"


def _settled_by(group: str, groups: Any, pending: Any) -> int:  # noqa: ANN401 - a stream's replies
    """Return the offset below which *group* acknowledged all; errors are groups that are not."""
    for error in (groups, pending):
        if isinstance(error, ResponseError):
            return 0
        if isinstance(error, RedisError):
            raise unavailable(error, f"the event log is away: {type(error).__name__}") from error
    (read_to,) = [each["last-delivered-id"] for each in groups if each["name"] == group.encode()]
    first = pending["min"] or read_to
    ms, _, sequence = first.decode().partition("-")
    return int(ms) * _A_MS + int(sequence) + (not pending["min"])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise unavailable(error, f"the event log is away: {type(error).__name__}") from error


class RedisLog:
    """The whole event log. Every method raises `StoreUnavailable` while Redis is away."""

    is_trimmed_by_lags = True

    def __init__(self, client: Redis) -> None:
        # Streams' replies have no useful types in redis-py.
        self._client: Any = client
        self._writer = RedisLogWriter(client)
        self._survey: Callable[..., Any] = client.register_script(_script("survey"))
        self._make_group: Callable[..., Any] = client.register_script(_script("group"))
        self._note_short: Callable[..., Any] = client.register_script(_script("short"))
        self._show: Callable[..., Any] = client.register_script(_script("report"))

    @classmethod
    def at(cls, url: str, timeout_s: float = _READ_S + 0.25) -> RedisLog:
        """Return the log at *url*; nothing is connected yet.

        A reader's *timeout_s* must be longer than its longest wait for an entry.

        Raises:
            SettingsError: the URL cannot be used.
        """
        return cls(connect(url, timeout_s))

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* to their topics; all of them or none."""
        self._writer.publish(records)

    def ensure(self, group: Group) -> None:
        """Make the group on every partition, from the earliest record on."""
        streams = [keys.log(group.topic, partition) for partition in _ALL]
        with _translated():
            self._make_group(keys=streams, args=[group.name])

    def check(self, topics: Iterable[str]) -> None:
        """Return if Redis lets us in, or does not answer yet: a topic is made by its first record.

        Raises:
            SettingsError: it does not; says what to set.
        """
        del topics
        check(self._client, keys.log("", 0), keys.log_kept(""))

    def member(self, group: Group) -> Member:
        """Join *group* and return what it gives this member to read."""
        return RedisMember(self, group)

    def read(
        self, group: Group, partitions: Iterable[int] = _ALL, count: int = 1, wait_s: float = 0.0
    ) -> list[Entry]:
        """Return up to *count* new entries a partition, waiting up to 1 s for the first."""
        streams = {keys.log(group.topic, p): ">" for p in partitions}
        wait_ms = int(min(wait_s, _READ_S) * 1000) or None
        return self._group_read(group, streams, count, wait_ms)

    def pending(
        self, group: Group, partitions: Iterable[int] = _ALL, count: int = 100
    ) -> list[Entry]:
        """Return the oldest entries this consumer read and never acknowledged."""
        streams = {keys.log(group.topic, p): "0" for p in partitions}
        return self._group_read(group, streams, count, None)

    def _group_read(
        self, group: Group, streams: Mapping[str, str], count: int, wait_ms: int | None
    ) -> list[Entry]:
        partition_of = {stream.encode(): int(stream.rpartition(":")[2]) for stream in streams}
        with _translated():
            found = self._client.xreadgroup(
                group.name, group.consumer, dict(streams), count=count, block=wait_ms
            )
        return [
            _entry(partition_of[stream], entry_id, fields)
            for stream, entries in found
            for entry_id, fields in entries
        ]

    def claim(
        self, group: Group, partitions: Iterable[int] = _ALL, idle_ms: int = CLAIM_IDLE_MS
    ) -> list[Entry]:
        """Take over what other consumers read and have not touched for *idle_ms*."""
        several = tuple(partitions)
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition in several:
                stream = keys.log(group.topic, partition)
                pipe.xautoclaim(stream, group.name, group.consumer, idle_ms, count=20)
            replies = pipe.execute()
        return [
            _entry(partition, entry_id, fields)
            for partition, reply in zip(several, replies, strict=True)
            for entry_id, fields in reply[1]
            if entry_id is not None
        ]

    def unacknowledged(self, group: Group, partitions: Iterable[int] = _ALL) -> int:
        """Count the entries that any consumer of the group has in hand."""
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.xpending(keys.log(group.topic, partition), group.name)
            return sum(reply["pending"] for reply in pipe.execute())

    def touch(self, group: Group, entries: Iterable[tuple[int, int]]) -> None:
        """Show that *entries* (partition, offset) are still being worked on."""
        self._age(group, entries, 0)

    def release(self, group: Group, entries: Iterable[tuple[int, int]]) -> None:
        """Let others take *entries* (partition, offset) over at once."""
        self._age(group, entries, CLAIM_IDLE_MS)

    def _age(self, group: Group, entries: Iterable[tuple[int, int]], idle_ms: int) -> None:
        """Claim *entries* for their own reader, as if it had touched them *idle_ms* ago."""
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition, offset in entries:
                stream = keys.log(group.topic, partition)
                own = (stream, group.name, group.consumer, 0, [_id(offset)])
                pipe.xclaim(*own, idle=idle_ms, justid=True)
            pipe.execute()

    def acknowledge(self, group: Group, entry: Entry) -> None:
        """Tell that *entry* was delivered, or put into the dead letters."""
        with _translated():
            stream = keys.log(group.topic, entry.partition)
            self._client.xack(stream, group.name, _id(entry.offset))

    def lags(self, topic: str, groups: Sequence[str]) -> tuple[int, ...]:
        """Return each one's lag in entries, and drop what every one of *groups* acknowledged.

        What is younger than `COMPARED_S` stays, unless memory is short. A topic without groups
        keeps its last `KEPT` records, each for `KEPT_S`.
        """
        oldest_ms = round((time.time() - KEPT_S) * 1000)
        kept_ms = self._trim_to_ms(topic) if groups else 0
        streams = [keys.log(topic, partition) for partition in _ALL]
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for stream in streams:
                if groups:
                    self._survey(keys=[stream], args=[f"{kept_ms}-0", *groups], client=pipe)
                else:
                    pipe.xtrim(stream, minid=oldest_ms, approximate=False)
                    pipe.xtrim(stream, maxlen=-(-KEPT // PARTITIONS), approximate=True)
            replies = pipe.execute()
        return tuple(sum(column) for column in zip(*replies, strict=True)) if groups else ()

    def _trim_to_ms(self, topic: str) -> int:
        """Return from when on acknowledged records are kept: from now on if memory is short."""
        now_ms = round(time.time() * 1000)
        with _translated():
            memory = self._client.info("memory")
            if memory["used_memory"] <= _SHORT_OF_MEMORY * (memory["maxmemory"] or math.inf):
                return now_ms - _TRIMMED_S * 1000
            self._note_short(keys=[keys.log_kept(topic)], args=[now_ms, _TRIMMED_S])
        return now_ms

    def kept_since_ms(self, topic: str) -> int:
        """Return from when on *topic* is sure to hold every record that was written."""
        with _translated():
            short_ms = int(self._client.get(keys.log_kept(topic)) or 0)
        return max(short_ms, round((time.time() - COMPARED_S) * 1000))

    def settled(self, topic: str, group: str) -> dict[int, int]:
        """Return, by partition, the offset below which *group* acknowledged everything."""
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition in _ALL:
                pipe.xinfo_groups(keys.log(topic, partition))
                pipe.xpending(keys.log(topic, partition), group)
            # A stream or a group that is not there yet is an answer, too.
            replies = pipe.execute(raise_on_error=False)
        pairs = zip(_ALL, replies[::2], replies[1::2], strict=True)
        return {each: _settled_by(group, groups, pending) for each, groups, pending in pairs}

    def settle(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Let *group*, of which nobody is a member, have settled everything below *offsets*."""
        self.ensure(Group(topic, group, group))
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition, offset in offsets.items():
                pipe.xgroup_setid(keys.log(topic, partition), group, _id(max(0, offset - 1)))
            pipe.execute()

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        """Return, by partition, the first offset written at *time_ms* or later."""
        del topic
        return dict.fromkeys(_ALL, time_ms * _A_MS)

    def between(
        self, topic: str, begin: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> Generator[Entry]:
        """Yield the entries from *begin* on and below *end*, or what is the end now."""
        for partition, first in begin.items():
            last = "+" if end is None else _id(max(0, end[partition] - 1))
            offset: int | None = first
            while offset is not None:
                with _translated():
                    found = self._client.xrange(
                        keys.log(topic, partition), _id(offset), last, count=_PAGE
                    )
                entries = [_entry(partition, *each) for each in found]
                yield from entries
                offset = entries[-1].offset + 1 if len(entries) == _PAGE else None

    def count(self, topic: str) -> int:
        """Return how many records *topic* holds."""
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition in _ALL:
                pipe.xlen(keys.log(topic, partition))
            return sum(pipe.execute())

    def entries(self, topic: str) -> list[Entry]:
        """Return everything *topic* holds, oldest first."""
        with _translated(), self._client.pipeline(transaction=False) as pipe:
            for partition in _ALL:
                pipe.xrange(keys.log(topic, partition))
            replies = pipe.execute()
        found = [
            _entry(partition, entry_id, fields)
            for partition, entries in enumerate(replies)
            for entry_id, fields in entries
        ]
        return sorted(found, key=lambda entry: entry.offset)

    def dead(self, letters: DeadLetters) -> int:
        """Return how many of *letters* were not replayed."""
        return self.count(letters.topic)

    def letters(self, letters: DeadLetters) -> list[Entry]:
        """Return those of *letters* that were not replayed, oldest first."""
        return self.entries(letters.topic)

    def replayed(self, letters: DeadLetters, letter: Entry) -> None:
        """Remove *letter*, which was replayed."""
        with _translated():
            stream = keys.log(letters.topic, letter.partition)
            self._client.xdel(stream, _id(letter.offset))

    def report(self, role: str, fields: Mapping[str, int]) -> None:
        """Show *fields* on the dashboard until `keys.HEALTH_EXPIRES_MS` pass without a report.

        Where several processes share a role, each tells of its own fields.
        """
        name = keys.health(role)
        with _translated():
            if fields:
                shown = chain(*fields.items())
                self._show(keys=[name], args=[keys.HEALTH_EXPIRES_MS, *shown])
            else:
                self._client.delete(name)

    def ping(self) -> None:
        """Return if Redis answers."""
        with _translated():
            self._client.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
