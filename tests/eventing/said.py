"""Utterances as records, and what a test makes of them by hand: scores and dead letters."""

from __future__ import annotations

import dataclasses

from eventing.delivery.kafkasource_request import Failure, dead_letter, event_of
from linewatch import events
from linewatch.calls import Channel, ChannelKey, Score, Utterance
from linewatch.eventlog.record import Entry

RATE_HZ = 16_000


def utterance(call, index=0, text="i want my money back", topic="utterances"):
    """Return the record of one thing that a customer said."""
    key = ChannelKey("default", call, Channel.CUSTOMER)
    begin_ms = 6_000 * index
    said = Utterance(key, 0, index, RATE_HZ * 6 * index, begin_ms, begin_ms + 4_000, text)
    return events.to_record(events.utterance_final(said), topic)


def score(call, index=0, topic="scores", suffix="scored"):
    """Return the record of the score of the same utterance."""
    key = ChannelKey("default", call, Channel.CUSTOMER)
    begin_ms = 6_000 * index
    made = Score(
        key=key,
        started_at_ms=0,
        index=index,
        first_sample=RATE_HZ * 6 * index,
        start_ms=begin_ms,
        end_ms=begin_ms + 4_000,
        text="i want my money back",
        polarity=0.0,
        subjectivity=0.0,
        nouns=(),
        consumer="sentiment",
        scorer="1",
    )
    record = events.to_record(events.utterance_scored(made), topic)
    event_id = f"{made.first_sample}-{suffix}".encode()
    return dataclasses.replace(record, headers={**record.headers, "ce_id": event_id})


def letter(source, record):
    """Return the dead letter of *record*."""
    event, key = event_of(source, entry(record))
    return dead_letter(source, event, key, Failure("http://f/"))


def entry(record, partition=0, offset=1, written_at_ms=1):
    """Return *record* as it lies in the log."""
    fields = {name.encode(): value for name, value in record.fields().items()}
    return Entry(partition, offset, fields, written_at_ms)
