"""Following a topic: what a notebook or a new service needs in three lines.

::

    for event in eventlog.follow("scores", "my-notebook"):
        print(event.get_data())
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Final

from cloudevents.core.v1.event import CloudEvent

from linewatch import events
from linewatch.errors import BadEvent, Unavailable
from linewatch.eventlog.choice import open_log
from linewatch.eventlog.protocol import EventLog, Group, Member
from linewatch.eventlog.record import Entry
from linewatch.eventlog.settings import LogSettings
from linewatch.events import Record
from linewatch.settings import load

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_RETRY_S: Final = 1.0


def follow(
    topic: str, group: str, *, env: Mapping[str, str] | None = None, consumer: str = ""
) -> Iterator[CloudEvent]:
    """Yield the events of *topic* for ever, as a member of consumer group *group*.

    Members of one group share the topic; each group reads all of it, from the oldest event that
    the log still holds. An event is settled when the next one is asked for, so one whose reader
    dies comes again. While the log is away nothing comes; what is no CloudEvent is skipped with
    a warning.

    A call's events keep their order in a group of one member; in Kafka in every group, as each
    partition has one member. Kafka keeps an event for the topic's retention. Redis drops it 11
    minutes after it was written (at once where memory is short) if every KafkaSource of the topic
    has settled it, whichever other groups have not.

    Args:
        topic: For example ``utterances`` or ``scores``.
        group: A new name for a reader of its own, or that of a running function to take part.
        env: Where the log is: ``KAFKA_BROKERS`` and its like, else ``REDIS_URL``; the
            environment unless another is given.
        consumer: The member's name in the log; one of its own where it is empty. In Redis, one that
            was killed and starts again under its name goes on in order; under another name it gets
            newer events first, and after 5 s what it had in work.

    Raises:
        SettingsError: the settings are wrong, Kafka does not let us in, or has no such topic.
    """
    event_log = open_log(load(LogSettings, os.environ if env is None else env))
    event_log.check([topic])
    member = Group(topic, group, consumer or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
    with closing(event_log):
        yield from _events(event_log, member, threading.Event().wait)


def _events(
    event_log: EventLog, group: Group, wait: Callable[[float], object]
) -> Iterator[CloudEvent]:
    """Join *group*, again and again where the log was away."""
    is_away = False
    while True:
        try:
            with closing(event_log.member(group)) as member:
                is_away = False
                yield from _read(member, group)
        except Unavailable as error:
            if not is_away:
                log.warning("%s is not read for now: %s", group.topic, error.detail)
            is_away = True
            wait(_RETRY_S)


def _read(member: Member, group: Group) -> Iterator[CloudEvent]:
    while True:
        for entry in member.poll(_POLL_S):
            event = _event_of(entry, group)
            if event is not None:
                yield event
            member.settle(entry)


def _event_of(entry: Entry, group: Group) -> CloudEvent | None:
    try:
        return events.from_record(Record.of_fields(entry.fields))
    except (BadEvent, ValueError, KeyError) as error:
        where = f"{group.topic}, partition {entry.partition}, offset {entry.offset}"
        log.warning("no CloudEvent, skipped: %s (%s)", where, type(error).__name__)
        return None
