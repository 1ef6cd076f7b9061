"""What an event costs the board, by how much is known of its call already.

``python -m tests.bench.bench_board``, on a Redis of its own. CPU is that of the board's process
alone, without HTTP: `Board.put` and the client library. Bytes are what Redis answered. First a
call of 20 and of 2,000 utterances, then one of 20 and of 2,000 gaps that were told long before the
words around them, then a floor of 100 lines after half an hour each, and what an utterance costs
that comes so late that its call is worked out anew.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import redis

from infra.launcher import redis_server
from linewatch.board.store import Board
from linewatch.calls import Channel, ChannelKey, GapReason, Missing, Score

LINES = 100
#: Utterances of half an hour: one every 5 s, by turns.
HALF_HOUR = 360
EVERY_MS = 5000
SHORT, LONG = 20, 2000
ROUNDS, BATCH = 30, 10
LIMIT_RATIO = 1.3
WORDS = "i have been waiting for forty minutes and my router is still not working {} at all"


class Cost(NamedTuple):
    """What one event costs."""

    cpu_ms: float
    read_bytes: float


def said(call: str, number: int) -> Score:
    """Return the score of a call's utterance *number*; speakers take turns."""
    begin_ms = number * EVERY_MS
    channel = (Channel.AGENT, Channel.CUSTOMER)[number % 2]
    return Score(
        key=ChannelKey("default", call, channel),
        started_at_ms=1_767_225_600_000,
        index=number // 2,
        first_sample=begin_ms * 8,
        start_ms=begin_ms,
        end_ms=begin_ms + 3800,
        text=WORDS.format(number),
        polarity=-0.2 if number % 3 else 0.1,
        subjectivity=0.5,
        nouns=("router", "minutes"),
        consumer="sentiment",
        scorer="bench",
    )


def lost(call: str, number: int) -> Missing:
    """Return a gap of 250 ms after a call's utterance *number*."""
    begin_ms = number * EVERY_MS + 4000
    key = ChannelKey("default", call, Channel.AGENT)
    end_ms = begin_ms + 250
    return Missing(key, 1_767_225_600_000, begin_ms * 8, begin_ms, end_ms, GapReason.LOST)


def cost(board: Board, client: redis.Redis, facts: Iterable[Score | Missing]) -> Cost:
    """Put *facts* and return what each cost."""
    told = list(facts)
    read = client.info("stats")["total_net_output_bytes"]
    begun_s = time.process_time()
    for fact in told:
        board.put(fact)
    used_s = time.process_time() - begun_s
    read = client.info("stats")["total_net_output_bytes"] - read
    return Cost(used_s * 1000 / len(told), read / len(told))


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True)))


def fill(board: Board, call: str, count: int) -> None:
    """Put a call's first *count* utterances."""
    for number in range(count):
        board.put(said(call, number))


def by_length(board: Board, client: redis.Redis) -> tuple[Cost, Cost]:
    """Return what an event costs in a short call and in a long one, measured in turns."""
    fill(board, "long", LONG - ROUNDS * BATCH // 2)
    costs = []
    for turn in range(ROUNDS):
        first = SHORT - BATCH // 2
        fill(board, f"short-{turn}", first)
        short = [said(f"short-{turn}", number) for number in range(first, first + BATCH)]
        first = LONG - ROUNDS * BATCH // 2 + turn * BATCH
        long = [said("long", number) for number in range(first, first + BATCH)]
        costs.append((cost(board, client, short), cost(board, client, long)))
    short_costs, long_costs = zip(*costs, strict=True)
    return median(short_costs), median(long_costs)


def by_gaps(board: Board, client: redis.Redis) -> tuple[Cost, Cost]:
    """Return what an event costs in a call of few gaps and in one of many, measured in turns."""
    for call, count in (("few", SHORT), ("many", LONG)):
        for number in range(count):
            board.put(lost(call, number))
    costs = []
    for turn in range(ROUNDS):
        numbers = range(turn * BATCH, (turn + 1) * BATCH)
        few, many = ([said(call, number) for number in numbers] for call in ("few", "many"))
        costs.append((cost(board, client, few), cost(board, client, many)))
    few_costs, many_costs = zip(*costs, strict=True)
    return median(few_costs), median(many_costs)


def floor(board: Board, client: redis.Redis) -> tuple[Cost, float]:
    """Return what an event costs on 100 lines after half an hour, and a call's bytes in Redis."""
    client.flushall()
    empty = client.info("memory")["used_memory"]
    calls = [f"line-{number}" for number in range(LINES)]
    for call in calls:
        fill(board, call, HALF_HOUR)
    held = (client.info("memory")["used_memory"] - empty) / LINES
    events = [said(call, HALF_HOUR + number) for number in range(5) for call in calls]
    return cost(board, client, events), held


def late(board: Board, client: redis.Redis, length: int) -> Cost:
    """Return what an event costs that comes when its call has gone on for *length* utterances."""
    calls = [f"late-{length}-{number}" for number in range(5)]
    for call in calls:
        for number in range(1, length):
            board.put(said(call, number))
    return cost(board, client, [said(call, 0) for call in calls])


@contextlib.contextmanager
def own_redis() -> Iterator[str]:
    """Run a Redis of the bench's own; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="linewatch-bench-") as folder:
        port = redis_server.free_port()
        process = redis_server.start(port, Path(folder), durable=False)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def main() -> int:
    """Measure, print, and fail where a long call's event costs more than it may."""
    with own_redis() as url, redis.Redis.from_url(url) as client:
        board = Board.from_url(url)
        fill(board, "warm", 50)
        ratio = _compared("utterances", *by_length(board, client))
        ratio = max(ratio, _compared("gaps", *by_gaps(board, client)))
        found, held = floor(board, client)
        print(f"event on {LINES} lines after 30 min: {_words(found)}; {held / 1024:.0f} KiB a call")
        for length in (HALF_HOUR, LONG):
            print(f"utterance 0 told after {length} others: {_words(late(board, client, length))}")
        board.close()
    return int(ratio > LIMIT_RATIO)


def _compared(what: str, short: Cost, long: Cost) -> float:
    ratio = long.cpu_ms / short.cpu_ms
    for length, found in ((SHORT, short), (LONG, long)):
        print(f"event of a call of {length} {what}: {_words(found)}")
    print(f"  CPU at {LONG} over {SHORT}: {ratio:.2f} (at most {LIMIT_RATIO})")
    return ratio


def _words(found: Cost) -> str:
    return f"{found.cpu_ms:.2f} ms of CPU, {found.read_bytes / 1024:.1f} KiB read"


if __name__ == "__main__":
    sys.exit(main())
