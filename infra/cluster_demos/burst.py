"""A burst of utterances, as if many lines spoke at once: run inside a decoder pod by a demo.

``publish RUN COUNT`` writes them to the event log, ``scored RUN`` tells how many of them the board
shows with a score. RUN names the burst and is part of its calls' ids.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from linewatch.board.store import Board
from linewatch.calls import CallEnd, CallStart, Channel, ChannelKey, EndReason, Utterance
from linewatch.eventlog.choice import open_log
from linewatch.eventlog.protocol import LogWriter
from linewatch.eventlog.settings import LogSettings
from linewatch.events import TOPICS, Record, call_ended, call_started, to_record, utterance_final
from linewatch.settings import load

CALLS: Final = 20
TENANT: Final = "default"
_EVERY_MS: Final = 4000
_RATE_HZ: Final = 8000
_SAID: Final = (
    "i have been waiting for forty minutes and my router is still not working",
    "thank you that was very helpful and quick",
    "could you tell me the number of the contract please",
    "this is the worst service i have ever had",
)


def call_of(run: str, number: int) -> str:
    """Return the id of a burst's call *number*."""
    return f"{run}-{number:02d}"


def records(run: str, count: int, started_at_ms: int) -> Iterator[Record]:
    """Return the events of a burst: *count* utterances, shared out among the calls."""
    for number in range(CALLS):
        call = call_of(run, number)
        mine = range(number, count, CALLS)
        start = CallStart(TENANT, call, call, started_at_ms, "", "burst", "inbound")
        yield to_record(call_started(start))
        for index in range(len(mine)):
            yield to_record(utterance_final(_utterance(call, index, started_at_ms)))
        end_ms = started_at_ms + _EVERY_MS * len(mine)
        end = CallEnd(TENANT, call, started_at_ms, end_ms, EndReason.HANGUP, 0, len(mine), 0)
        yield to_record(call_ended(end))


def _utterance(call: str, index: int, started_at_ms: int) -> Utterance:
    begin_ms = index * _EVERY_MS
    return Utterance(
        key=ChannelKey(TENANT, call, Channel.CUSTOMER),
        started_at_ms=started_at_ms,
        index=index,
        first_sample=begin_ms * _RATE_HZ // 1000,
        start_ms=begin_ms,
        end_ms=begin_ms + _EVERY_MS // 2,
        text=_SAID[index % len(_SAID)],
        digest="burst",
    )


def publish(writer: LogWriter, run: str, count: int, started_at_ms: int) -> None:
    """Write a burst to the event log at once."""
    writer.publish(list(records(run, count, started_at_ms)))


def scored(board: Board, run: str) -> int:
    """Return how many utterances of a burst have a score."""
    details = [board.detail(TENANT, call_of(run, number)) for number in range(CALLS)]
    return sum(said.polarity is not None for detail in details if detail for said in detail.said)


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say."""
    what, run, *rest = arguments
    settings = load(LogSettings, os.environ)
    if what == "publish":
        with closing(open_log(settings)) as event_log:
            event_log.check(TOPICS.values())
            publish(event_log, run, int(rest[0]), time.time_ns() // 1_000_000)
    else:
        sys.stdout.write(f"{scored(Board.from_url(settings.redis_url), run)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
