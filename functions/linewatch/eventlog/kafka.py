"""The event log in Kafka; see `linewatch.eventlog.protocol`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)

from linewatch.errors import Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka_member import (
    KafkaMember,
    Membership,
    PartitionOwner,
    entry_of,
    offsets_of,
    translated,
)
from linewatch.eventlog.kafka_writer import KafkaLogWriter
from linewatch.eventlog.protocol import DeadLetters, Group, Member
from linewatch.eventlog.record import Entry
from linewatch.events import Record

_ANSWER_S: Final = 5.0
_TURN_S: Final = 1.0
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


class KafkaLog:
    """The whole event log. Every method raises `Unavailable` while Kafka is away."""

    is_trimmed_by_lags = False

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

    def check(self, topics: Iterable[str]) -> None:
        """Return once a broker lets us in and has *topics*; see `Brokers.check`."""
        self.brokers.check(topics)

    def member(self, group: Group) -> Member:
        """Join *group* and return what it gives this member to read."""
        return KafkaMember(self.brokers, group)

    def join(self, group: Group, owner: PartitionOwner) -> Membership:
        """Return a membership in *group* for one that settles in any order."""
        return Membership(self.brokers, group, owner)

    def ping(self) -> None:
        """Return if a broker answers."""
        self._ask(lambda admin: admin.describe_cluster())

    def lags(self, topic: str, groups: Sequence[str]) -> tuple[int, ...]:
        """Return how many entries of *topic* each of *groups* has not settled."""
        found: tuple[int, ...] = self._ask(
            lambda admin: tuple(self._lag(admin, topic, group) for group in groups)
        )
        return found

    def dead(self, letters: DeadLetters) -> int:
        """Return how many of *letters* were not replayed."""
        return int(self._ask(lambda admin: self._lag(admin, letters.topic, letters.group)))

    def letters(self, letters: DeadLetters) -> list[Entry]:
        """Return those of *letters* that were not replayed, oldest first."""
        spans = self._ask(lambda admin: self._spans(admin, letters.topic, letters.group))
        found = self._read({each: span for each, span in spans.items() if span[0] < span[1]})
        return sorted(found, key=lambda entry: (entry.written_at_ms, entry.place))

    def replayed(self, letters: DeadLetters, letter: Entry) -> None:
        """Commit, in the group that replays, that the partition is replayed up to *letter*.

        Kafka deletes no single record: what is not replayed is what lies beyond.
        """
        self.settle(letters.topic, letters.group, {letter.partition: letter.offset + 1})

    def settled(self, topic: str, group: str) -> dict[int, int]:
        """Return, by partition, the offset below which *group* settled everything."""
        spans = self._ask(lambda admin: self._spans(admin, topic, group))
        return {each.partition: begin for each, (begin, _) in spans.items()}

    def settle(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Let *group*, of which nobody is a member, have settled everything below *offsets*."""
        self._ask(lambda admin: admin.alter_group_offsets(group, offsets_of(topic, offsets)))

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
        found = self._ask(lambda admin: admin.describe_configs(asked, config_filter="all"))
        kept_ms = int(found["topic"][topic]["retention.ms"]["value"])
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
            with translated():
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
            (described,) = admin.describe_topics([topic])
            numbers = [each["partition_index"] for each in described["partitions"]]
            if not numbers:
                return ()
            self._partitions[topic] = tuple(TopicPartition(topic, each) for each in numbers)
        return self._partitions[topic]

    def _offsets_at(self, admin: Any, topic: str, when: object) -> dict[int, int]:  # noqa: ANN401 - kafka-python has no types
        asked = dict.fromkeys(self._partitions_of(admin, topic), when)
        found = admin.list_partition_offsets(asked)
        return {each.partition: at.offset for each, at in found.items()}

    def _read(self, spans: _Spans) -> Generator[Entry]:
        """Yield what lies in *spans*; a consumer that is given back is used again."""
        if not spans:
            return
        consumer: Any = self._idle.pop() if self._idle else self._consumer()
        try:
            with translated():
                consumer.assign(list(spans))
                for each, (begin, _) in spans.items():
                    consumer.seek(each, begin)
                for each in _read_up_to(consumer, spans, self._wait_s):
                    yield entry_of(each)
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
