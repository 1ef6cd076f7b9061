"""The comparison of what a source has settled with the scores and dead letters that came of it.

Only what lies below the offset its group has settled can be missing: what lies beyond
is still delivered, or tried again. Utterances are compared a batch at a time with a
stream of what was written since, so that the memory is bounded however long the log is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Final

from eventing.reconciliation.unmatched import BATCH, Unmatched, highest, lowest
from eventing.topology import Source
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.record import Entry
from linewatch.events import Record

#: Whose clock wrote a score may be so much behind the clock that wrote its utterance.
_CLOCKS_MS: Final = 300_000
_PUBLISHED_AT_ONCE: Final = 250
#: Utterances of a partition that one run looks at: of a long log the next run reads on.
_A_RUN: Final = 50_000
Offsets = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What one comparison found."""

    missing: int
    delivered: int

    def __str__(self) -> str:
        """Say it in a line."""
        again = f", {self.delivered} delivered again" if self.missing else ""
        return f"{self.missing} missing{again}"

    @property
    def is_right(self) -> bool:
        """Whether nothing is missing that was not delivered again."""
        return self.missing == self.delivered


class Comparison:
    """Compares *source*'s utterances with the topic *scores* and its dead letters.

    Every method raises `Unavailable` while the log is away.
    """

    def __init__(
        self,
        event_log: EventLog,
        source: Source,
        scores: str,
        most: int = BATCH,
        a_run: int = _A_RUN,
    ) -> None:
        self._log = event_log
        self._source = source
        self._results = (scores, source.delivery.dead_letter_topic)
        self._most = most
        self._a_run: float = a_run
        self._begin: Offsets = {}
        self._end: Offsets = {}

    def run(
        self,
        tell: Callable[[Entry], None],
        *,
        now_ms: int,
        age_s: float = 0.0,
        everything: bool = False,
        deliver: bool = False,
    ) -> Found:
        """Report each missing utterance by *tell*; publish it to its topic again if *deliver*.

        Looks at what is new since the last run that left none missing, or at *everything* the
        log is sure to hold the scores of; at nothing younger than *age_s*.
        """
        self._bound(now_ms, age_s, everything)
        self._a_run = math.inf if everything else self._a_run
        count = 0
        with closing(self._missing()) as missing:
            while several := list(islice(missing, _PUBLISHED_AT_ONCE)):
                if deliver:
                    self._log.publish([Record.of_fields(each.fields) for each in several])
                for each in several:
                    tell(each)
                count += len(several)
        found = Found(count, count if deliver else 0)
        if found.is_right:
            self._log.settle(self._source.topic, self._source.missing_group, self._end)
        return found

    def _bound(self, now_ms: int, age_s: float, everything: bool) -> None:  # noqa: FBT001 - a step of `run`
        log, topic = self._log, self._source.topic
        # First what is settled: whatever came of it was written before.
        self._end = log.settled(topic, self._source.group)
        if age_s:
            self._end = lowest(self._end, log.since(topic, now_ms - math.ceil(age_s * 1000)))
        held_ms = max(log.kept_since_ms(each) for each in self._results)
        begin = log.since(topic, held_ms)
        done = {} if everything else log.settled(topic, self._source.missing_group)
        self._begin = highest(begin, done)

    def _missing(self) -> Generator[Entry]:
        left = Unmatched(self._most)
        for partition in sorted(self._end):
            for batch in self._batches(partition):
                # Where both topics are keyed alike a score lies in the partition of its utterance.
                self._match(batch, partition)
                left.take(batch)
                if left.is_full:
                    yield from self._judged(left)
                    left = Unmatched(self._most)
        yield from self._judged(left)

    def _batches(self, partition: int) -> Iterator[Unmatched]:
        span = {partition: self._begin.get(partition, 0)}, {partition: self._end[partition]}
        batch = Unmatched(self._most)
        with closing(self._log.between(self._source.topic, *span)) as utterances:
            for count, utterance in enumerate(utterances, start=1):
                batch.add(utterance)
                if batch.is_full:
                    yield batch
                    batch = Unmatched(self._most)
                if count >= self._a_run:
                    self._end = {**self._end, partition: utterance.offset + 1}
                    break
        yield batch

    def _judged(self, left: Unmatched) -> Iterator[Entry]:
        """Yield those of *left* that are missing, after all that could be about them was read."""
        self._match(left)
        # What was published again is not missing before it is settled again.
        self._cross_off(left, self._log.between(self._source.topic, self._end))
        for partition, first, last in left.spans():
            span = {partition: first}, {partition: last + 1}
            for utterance in self._log.between(self._source.topic, *span):
                if left.holds(utterance):
                    yield utterance

    def _match(self, batch: Unmatched, partition: int | None = None) -> None:
        """Cross off what has a score or a dead letter, in *partition* or in any."""
        for topic in self._results:
            if not batch:
                return
            begin = self._log.since(topic, max(0, batch.begin_ms - _CLOCKS_MS))
            # A dead letter that was replayed no longer explains its utterance.
            replayed = self._source.dead_letters.group
            begin = highest(begin, self._log.settled(topic, replayed))
            if partition is not None:
                begin = {each: at for each, at in begin.items() if each == partition}
            self._cross_off(batch, self._log.between(topic, begin))

    @staticmethod
    def _cross_off(batch: Unmatched, entries: Generator[Entry]) -> None:
        with closing(entries):
            while batch and (entry := next(entries, None)):
                batch.cross_off(entry)
