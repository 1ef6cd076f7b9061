"""The event log in Kafka: what the dispatcher, the sink and the commands need of it.

This is the only module of ``eventing`` that knows Kafka; the log in Redis stands
behind the same methods.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)
from kafka.structs import OffsetAndMetadata

from eventing.topology import Source
from linewatch.errors import Unavailable
from linewatch.eventlog.brokers import Brokers, KafkaLogWriter
from linewatch.eventlog.record import Entry
from linewatch.events import Record

_ANSWER_S: Final = 5.0
_TURN_S: Final = 1.0
_CLOSE_S: Final = 2.0
#: A member that was killed leaves its partitions unread for so long.
_SESSION_S: Final = 8.0
#: A topic made later is found within so long.
_METADATA_S: Final = 10.0
#: Hand out at once all that was fetched, and fetch little: of several partitions that are paused
#: half handed out, kafka-python 3.0.12 goes on with one alone (its slot for them stays taken).
_HANDED_OUT: Final = 1_000_000
_FETCHED_BYTES: Final = 65_536
_AGAIN_S: Final = 0.1
_NO_WAIT_MS: Final = 10
#: How much of a topic's retention is looked at when its records are compared.
_COMPARED: Final = 0.9
#: Many write at once here: events that share a request save a sixth of the sink's CPU.
_LINGER_MS: Final = 5
_NOT_YET: Final = (
    CoordinatorNotAvailableError,
    CoordinatorLoadInProgressError,
    NotCoordinatorError,
)
_Spans = Mapping[TopicPartition, tuple[int, int]]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KafkaError, RuntimeError) as error:
        how = "is away" if getattr(error, "retriable", True) else "refuses"
        raise Unavailable(f"Kafka {how}: {type(error).__name__}") from error


def _entry(read: Any) -> Entry:  # noqa: ANN401 - kafka-python has no types
    headers = {name.encode(): value or b"" for name, value in read.headers}
    own = {b"topic": read.topic.encode(), b"key": read.key or b"", b"value": read.value or b""}
    return Entry(read.partition, read.offset, {**headers, **own}, read.timestamp)


class Holder(Protocol):
    """What reads a source, and is told how its share of the partitions changes."""

    def give_up(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """Forget *partitions*, that are another's from now on; return the offsets to commit."""
        ...

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note that Kafka keeps *offsets* by partition."""
        ...


class _Handover(AsyncConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Commits what is settled before the partitions are another's, and nothing afterwards."""

    def __init__(self, topic: str, holder: Holder) -> None:
        self._topic = topic
        self._holder = holder
        self.consumer: KafkaConsumer | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit, while we are still the member that may."""
        offsets = self._holder.give_up([each.partition for each in revoked])
        if offsets and self.consumer is not None:
            with contextlib.suppress(KafkaError):
                await self.consumer.commit_async(_offsets(self._topic, offsets))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing: reading begins at what is committed."""

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Forget them: another may have committed beyond us already."""
        self._holder.give_up([each.partition for each in lost])


def _offsets(topic: str, offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {TopicPartition(topic, p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}


class Feed:
    """One source's membership in its consumer group; every method is for one thread."""

    def __init__(self, brokers: Brokers, source: Source, holder: Holder, name: str) -> None:
        self._topic = source.topic
        self._holder = holder
        self._consumer: Any = brokers.connect(
            KafkaConsumer,
            client_id=name,
            group_id=source.group,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=int(_SESSION_S * 250),
            max_partition_fetch_bytes=_FETCHED_BYTES,
            max_poll_records=_HANDED_OUT,
            metadata_max_age_ms=int(_METADATA_S * 1000),
            metrics_enabled=False,
            request_timeout_ms=int(_ANSWER_S * 2000),
            session_timeout_ms=int(_SESSION_S * 1000),
        )
        handover = _Handover(source.topic, holder)
        handover.consumer = self._consumer
        self._consumer.subscribe([source.topic], listener=handover)
        self._await_topic()

    def _await_topic(self) -> None:
        """Learn the topic's partitions: a leader that joins before gives out none."""
        with _translated():
            if self._consumer.partitions_for_topic(self._topic):
                return
        self.close({})
        raise Unavailable(f"Kafka has no topic {self._topic}")

    def poll(self, wait_s: float) -> list[Entry]:
        """Return what was fetched, waiting up to *wait_s* for it; keeps the membership alive."""
        with _translated():
            found = self._consumer.poll(timeout_ms=int(wait_s * 1000))
        return [_entry(each) for several in found.values() for each in several]

    def pause(self, partitions: Iterable[int]) -> bool:
        """Fetch from none of *partitions* and from all others; tell whether any are left."""
        with _translated():
            ours = self._consumer.assignment()
            wanted = {TopicPartition(self._topic, each) for each in partitions} & ours
            paused = self._consumer.paused()
            if wanted - paused:
                self._consumer.pause(*(wanted - paused))
            if (paused & ours) - wanted:
                self._consumer.resume(*((paused & ours) - wanted))
        return bool(ours - wanted) or not ours

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit in the background; `Holder.committed` hears of it at a later `poll`."""
        if not offsets:
            return

        def done(_: object, outcome: object) -> None:
            if not isinstance(outcome, Exception):
                self._holder.committed(offsets)

        with _translated():
            self._consumer.commit_async(_offsets(self._topic, offsets), callback=done)

    def close(self, offsets: Mapping[int, int]) -> None:
        """Commit *offsets* if that works at once, and leave the group."""
        with contextlib.suppress(KafkaError, RuntimeError):
            wait_ms = int(_CLOSE_S * 1000)
            try:
                if offsets:
                    self._consumer.commit(_offsets(self._topic, offsets), timeout_ms=wait_ms)
            finally:
                self._consumer.close(autocommit=False, timeout_ms=wait_ms)


class KafkaLog:
    """The whole event log. Every method raises `Unavailable` while Kafka is away."""

    def __init__(self, brokers: Brokers, wait_s: float = _ANSWER_S) -> None:
        self.brokers = brokers
        self._wait_s = wait_s
        self._writer = KafkaLogWriter(brokers, wait_s, linger_ms=_LINGER_MS)
        self._lock = threading.Lock()
        self._made: Any = None
        self._partitions: dict[str, tuple[TopicPartition, ...]] = {}
        self._idle: list[Any] = []

    def publish(self, records: Sequence[Record]) -> None:
        """Write *records* to their topics; another error than `Unavailable` is a refusal."""
        self._writer.publish(records)

    def feed(self, source: Source, holder: Holder, name: str) -> Feed:
        """Return a membership in *source*'s group, under *name* in the broker's log."""
        return Feed(self.brokers, source, holder, name)

    def ping(self) -> None:
        """Return if a broker answers."""
        self._ask(lambda admin: admin.describe_cluster())

    def lags(self, topic: str, groups: Sequence[str]) -> tuple[int, ...]:
        """Return how many entries of *topic* each of *groups* has not settled."""
        found: tuple[int, ...] = self._ask(
            lambda admin: tuple(self._lag(admin, topic, group) for group in groups)
        )
        return found

    def dead(self, source: Source) -> int:
        """Return how many dead letters of *source* were not replayed."""
        topic = source.delivery.dead_letter_topic
        return int(self._ask(lambda admin: self._lag(admin, topic, source.replay_group)))

    def letters(self, source: Source) -> list[Entry]:
        """Return the dead letters of *source* that were not replayed, oldest first."""
        topic = source.delivery.dead_letter_topic
        spans = self._ask(lambda admin: self._spans(admin, topic, source.replay_group))
        found = self._read({each: span for each, span in spans.items() if span[0] < span[1]})
        return sorted(found, key=lambda entry: (entry.written_at_ms, entry.place))

    def replayed(self, source: Source, letter: Entry) -> None:
        """Commit, in the source's replay group, that the partition is replayed up to *letter*.

        Kafka deletes no single record: what is not replayed is what lies beyond.
        """
        topic = source.delivery.dead_letter_topic
        offsets = {letter.partition: letter.offset + 1}
        self.settle(topic, source.replay_group, offsets)

    def settled(self, topic: str, group: str) -> dict[int, int]:
        """Return, by partition, the offset below which *group* settled everything."""
        spans = self._ask(lambda admin: self._spans(admin, topic, group))
        return {each.partition: begin for each, (begin, _) in spans.items()}

    def settle(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Let *group*, of which nobody is a member, have settled everything below *offsets*."""
        self._ask(lambda admin: admin.alter_group_offsets(group, _offsets(topic, offsets)))

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        """Return, by partition, the first offset written at *time_ms* or later."""
        found = self._ask(lambda admin: self._offsets_at(admin, topic, time_ms))
        ends = self._ask(lambda admin: self._offsets_at(admin, topic, OffsetSpec.LATEST))
        return {each: ends[each] if at < 0 else at for each, at in found.items()}

    def kept_since_ms(self, topic: str) -> int:
        """Return from when on *topic* is sure to hold every record that was written.

        A little later than its retention says: a comparison takes its time.
        """
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic)]
        told = self._ask(lambda admin: admin.describe_configs(asked, config_filter="all"))
        kept_ms = int(told["topic"][topic]["retention.ms"]["value"])
        return 0 if kept_ms < 0 else round(time.time() * 1000 - _COMPARED * kept_ms)

    def between(
        self, topic: str, begin: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> Generator[Entry]:
        """Yield the entries from *begin* on and below *end*, or what is the end now."""
        if end is None:
            end = self._ask(lambda admin: self._offsets_at(admin, topic, OffsetSpec.LATEST))
        pairs = {TopicPartition(topic, each): (at, end[each]) for each, at in begin.items()}
        yield from self._read({each: span for each, span in pairs.items() if span[0] < span[1]})

    def close(self) -> None:
        """Give the connections back."""
        self._writer.close()
        for consumer in self._idle:
            consumer.close(autocommit=False)
        with self._lock:
            self._forget_admin()

    def _ask(self, question: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - kafka-python has no types
        # Who asks while another waits in vain need not wait as well.
        if not self._lock.acquire(timeout=_TURN_S):
            raise Unavailable("Kafka is away, or slow to answer")
        try:
            if self._made is None:
                wait_ms = int(self._wait_s * 1000)
                self._made = self.brokers.connect(
                    KafkaAdminClient, self._wait_s, request_timeout_ms=wait_ms
                )
            with _translated():
                return self._answer(question, time.monotonic() + self._wait_s)
        except Unavailable:
            self._forget_admin()
            raise
        finally:
            self._lock.release()

    def _answer(self, question: Callable[[Any], Any], deadline_s: float) -> Any:  # noqa: ANN401 - kafka-python has no types
        while True:
            try:
                return question(self._made)
            except _NOT_YET:
                # So a broker answers that has just begun, and its admin client does not ask again.
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_AGAIN_S)

    def _forget_admin(self) -> None:
        if self._made is not None:
            with contextlib.suppress(KafkaError, RuntimeError):
                self._made.close()
            self._made = None

    def _lag(self, admin: Any, topic: str, group: str) -> int:  # noqa: ANN401 - kafka-python has no types
        return sum(end - begin for begin, end in self._spans(admin, topic, group).values())

    def _spans(self, admin: Any, topic: str, group: str) -> _Spans:  # noqa: ANN401 - kafka-python has no types
        """Return what *group* has before it: from which offset up to which, by partition."""
        several = self._partitions_of(admin, topic)
        first = admin.list_partition_offsets(dict.fromkeys(several, OffsetSpec.EARLIEST))
        end = admin.list_partition_offsets(dict.fromkeys(several, OffsetSpec.LATEST))
        kept = admin.list_group_offsets({group: list(several)})[group]
        done = {each: kept[each].offset if each in kept else -1 for each in several}
        # What was trimmed by age is nobody's any more.
        begin = {
            each: min(max(done[each], first[each].offset), end[each].offset) for each in several
        }
        return {each: (begin[each], end[each].offset) for each in several}

    def _partitions_of(self, admin: Any, topic: str) -> tuple[TopicPartition, ...]:  # noqa: ANN401 - kafka-python has no types
        if topic not in self._partitions:
            (told,) = admin.describe_topics([topic])
            numbers = [each["partition_index"] for each in told["partitions"]]
            if not numbers:
                return ()
            self._partitions[topic] = tuple(TopicPartition(topic, each) for each in numbers)
        return self._partitions[topic]

    def _offsets_at(self, admin: Any, topic: str, when: object) -> dict[int, int]:  # noqa: ANN401 - kafka-python has no types
        asked = dict.fromkeys(self._partitions_of(admin, topic), when)
        found = admin.list_partition_offsets(asked)
        return {each.partition: told.offset for each, told in found.items()}

    def _read(self, spans: _Spans) -> Generator[Entry]:
        """Yield what lies in *spans*; a consumer that is given back is used again."""
        if not spans:
            return
        consumer: Any = self._idle.pop() if self._idle else self._consumer()
        try:
            with _translated():
                consumer.assign(list(spans))
                for each, (begin, _) in spans.items():
                    consumer.seek(each, begin)
                for each in _read_up_to(consumer, spans, self._wait_s):
                    yield _entry(each)
        finally:
            self._idle.append(consumer)

    def _consumer(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        # What is read is there already: a fetch that waits for more holds the next one up.
        options = {"fetch_max_wait_ms": _NO_WAIT_MS, "metrics_enabled": False}
        return self.brokers.connect(KafkaConsumer, **options)


def _read_up_to(consumer: Any, spans: _Spans, wait_s: float) -> Iterator[Any]:  # noqa: ANN401 - kafka-python has no types
    while any(consumer.position(each) < end for each, (_, end) in spans.items()):
        found = consumer.poll(timeout_ms=int(wait_s * 1000))
        if not found:
            raise Unavailable("Kafka does not give its records")
        for each, several in found.items():
            yield from (read for read in several if read.offset < spans[each][1])
