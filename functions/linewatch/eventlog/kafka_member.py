"""Membership in a consumer group of Kafka's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from linewatch.errors import Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.record import Entry

_ANSWER_S: Final = 5.0
_CLOSE_S: Final = 2.0
#: A member that was killed leaves its partitions unread for so long.
_SESSION_S: Final = 8.0
#: A topic made later is found within so long.
_METADATA_S: Final = 10.0
#: Hand out at once all that was fetched, and fetch little: of several partitions that are paused
#: half handed out, kafka-python 3.0.12 goes on with one alone (its slot for them stays taken).
_HANDED_OUT: Final = 1_000_000
_FETCHED_BYTES: Final = 65_536


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Unavailable` instead of what kafka-python raises."""
    try:
        yield
    except (KafkaError, RuntimeError) as error:
        how = "is away" if getattr(error, "retriable", True) else "refuses"
        raise Unavailable(f"Kafka {how}: {type(error).__name__}") from error


def entry_of(read: Any) -> Entry:  # noqa: ANN401 - kafka-python has no types
    """Return what a consumer *read* as an entry."""
    headers = {name.encode(): value or b"" for name, value in read.headers}
    own = {b"topic": read.topic.encode(), b"key": read.key or b"", b"value": read.value or b""}
    return Entry(read.partition, read.offset, {**headers, **own}, read.timestamp)


class PartitionOwner(Protocol):
    """What reads a topic, and hears how its share of the partitions changes."""

    def revoke(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """Forget *partitions*, which another owns from now on; return the offsets to commit."""
        ...

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note that Kafka keeps *offsets* by partition."""
        ...


class _CommitOnRevoke(AsyncConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Commits what is settled before the partitions are another's, and nothing afterwards."""

    def __init__(self, topic: str, owner: PartitionOwner) -> None:
        self._topic = topic
        self._owner = owner
        self.consumer: KafkaConsumer | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit, while we are still the member that may."""
        offsets = self._owner.revoke([each.partition for each in revoked])
        if offsets and self.consumer is not None:
            with contextlib.suppress(KafkaError):
                await self.consumer.commit_async(offsets_of(self._topic, offsets))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing: reading begins at what is committed."""

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Forget them: another may have committed beyond us already."""
        self._owner.revoke([each.partition for each in lost])


def offsets_of(topic: str, offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return *offsets*, by partition of *topic*, as kafka-python wants them."""
    return {TopicPartition(topic, p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}


class Membership:
    """A membership in a consumer group; every method is for one thread."""

    def __init__(
        self, brokers: Brokers, group: Group, owner: PartitionOwner, handed_out: int = _HANDED_OUT
    ) -> None:
        self._topic = group.topic
        self._owner = owner
        self._consumer: Any = brokers.connect(
            KafkaConsumer,
            client_id=group.consumer,
            group_id=group.name,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=int(_SESSION_S * 250),
            max_partition_fetch_bytes=_FETCHED_BYTES,
            max_poll_records=handed_out,
            metadata_max_age_ms=int(_METADATA_S * 1000),
            metrics_enabled=False,
            request_timeout_ms=int(_ANSWER_S * 2000),
            session_timeout_ms=int(_SESSION_S * 1000),
        )
        listener = _CommitOnRevoke(group.topic, owner)
        listener.consumer = self._consumer
        self._consumer.subscribe([group.topic], listener=listener)
        self._await_topic()

    def _await_topic(self) -> None:
        """Learn the topic's partitions: a leader that joins before gives out none."""
        with translated():
            if self._consumer.partitions_for_topic(self._topic):
                return
        self.close({})
        raise Unavailable(f"Kafka has no topic {self._topic}")

    def poll(self, wait_s: float) -> list[Entry]:
        """Return what was fetched, waiting up to *wait_s* for it; keeps the membership alive."""
        with translated():
            found = self._consumer.poll(timeout_ms=int(wait_s * 1000))
        return [entry_of(each) for several in found.values() for each in several]

    def pause(self, partitions: Iterable[int]) -> bool:
        """Fetch from none of *partitions* and from all others; tell whether any are left."""
        with translated():
            ours = self._consumer.assignment()
            wanted = {TopicPartition(self._topic, each) for each in partitions} & ours
            paused = self._consumer.paused()
            if wanted - paused:
                self._consumer.pause(*(wanted - paused))
            if (paused & ours) - wanted:
                self._consumer.resume(*((paused & ours) - wanted))
        return bool(ours - wanted) or not ours

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit in the background; `PartitionOwner.committed` hears of it at a later `poll`."""
        if not offsets:
            return

        def done(_: object, outcome: object) -> None:
            if not isinstance(outcome, Exception):
                self._owner.committed(offsets)

        with translated():
            self._consumer.commit_async(offsets_of(self._topic, offsets), callback=done)

    def commit_now(self, offsets: Mapping[int, int]) -> None:
        """Commit, and return once Kafka has taken it."""
        with translated():
            self._consumer.commit(
                offsets_of(self._topic, offsets), timeout_ms=int(_ANSWER_S * 1000)
            )

    def close(self, offsets: Mapping[int, int]) -> None:
        """Commit *offsets* if that works at once, and leave the group."""
        with contextlib.suppress(KafkaError, RuntimeError):
            wait_ms = int(_CLOSE_S * 1000)
            try:
                if offsets:
                    self._consumer.commit(offsets_of(self._topic, offsets), timeout_ms=wait_ms)
            finally:
                self._consumer.close(autocommit=False, timeout_ms=wait_ms)


class KafkaMember:
    """Reads record by record: a slow reader is asked for again before it counts as dead."""

    def __init__(self, brokers: Brokers, group: Group) -> None:
        self._membership = Membership(brokers, group, self, handed_out=1)

    def poll(self, wait_s: float) -> list[Entry]:
        """See `Member`."""
        return self._membership.poll(wait_s)

    def settle(self, entry: Entry) -> None:
        """See `Member`."""
        self._membership.commit_now({entry.partition: entry.offset + 1})

    def close(self) -> None:
        """See `Member`."""
        self._membership.close({})

    def revoke(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """See `PartitionOwner`: what was settled is committed already."""
        del partitions
        return {}

    def committed(self, offsets: Mapping[int, int]) -> None:
        """See `PartitionOwner`."""
