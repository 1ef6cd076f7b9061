"""Fill a Redis with a plausible board: ``python tests/support/board_seed.py REDIS_URL 30``.

About half of the calls talk, the others are on hold; some go badly, a few ended.
The same seed gives the same calls.
"""

from __future__ import annotations

import random
import sys
import time

import redis

from linewatch import events, keys
from linewatch.board.store import Board
from linewatch.calls import (
    CallEnd,
    CallStart,
    Channel,
    ChannelKey,
    EndReason,
    GapReason,
    Missing,
    Score,
)

TENANT = "default"
_RATE_HZ = 16_000
_FINE = [
    ("thank you that was very quick and helpful", 0.45, ["help"]),
    ("yes the booking number is seven four two nine", 0.0, ["booking number"]),
    ("great that works perfectly for me", 0.9, []),
    ("could you tell me when the parcel arrives", 0.0, ["parcel"]),
    ("i moved house last month so the address is new", 0.1, ["house", "address"]),
    ("that is good to know thanks", 0.5, []),
]
_BAD = [
    ("this is the third time i call about the same bill", -0.1, ["bill"]),
    ("nobody helped me and the service was terrible", -0.8, ["service"]),
    ("i am really angry about this awful delay", -0.6, ["delay"]),
    ("let me speak to a supervisor right now", 0.0, ["supervisor"]),
    ("that is a horrible answer and i want a refund", -0.7, ["answer", "refund"]),
    ("i will cancel my contract this is ridiculous", -0.4, ["contract"]),
]
_AGENT = [
    ("i am happy to help you with that", 0.5, []),
    ("let me check your account one moment please", 0.0, ["account"]),
    ("i understand and i am sorry about the trouble", -0.1, ["trouble"]),
    ("the technician comes on thursday morning", 0.0, ["technician"]),
    ("is there anything else that i can do", 0.0, []),
]
_QUEUES = ["billing", "delivery", "technical", "sales"]
_AGENTS = ["Ana", "Bo", "Chidi", "Dana", "Emre", "Fay", "Goran", "Hana"]


class Seeded:
    """One made-up call, told to the board fact by fact."""

    def __init__(self, number: int, now_ms: int, draw: random.Random) -> None:
        self.draw = draw
        self.age_ms = draw.randrange(60_000, 420_000)
        self.started_at_ms = now_ms - self.age_ms
        self.call = f"line{number:02d}-{self.started_at_ms}"
        self.is_bad = number % 6 == 1
        self.is_on_hold = number % 2 == 0
        self.is_over = number % 10 == 9
        self.start = CallStart(
            TENANT,
            self.call,
            f"line{number:02d}",
            self.started_at_ms,
            agent=_AGENTS[number % len(_AGENTS)],
            queue=_QUEUES[number % len(_QUEUES)],
        )

    def key(self, channel: Channel) -> ChannelKey:
        """Name one of the call's channels."""
        return ChannelKey(TENANT, self.call, channel)

    def facts(self):
        """Return the start, the scores, now and then a gap, and the end of an ended call."""
        scores = list(self._scores())
        told = [self.start, *scores]
        if self.draw.random() < 0.2:
            told.append(self._gap())
        if self.is_over:
            told.append(self._end(scores, len(told) - 1 - len(scores)))
        return told

    def _scores(self):
        held_ms = self.draw.randrange(35_000, 59_000) if self.is_on_hold else 0
        at_ms, until_ms = self.draw.randrange(500, 3000), self.age_ms - held_ms
        hold_at_ms = until_ms // 2 if self.is_on_hold and self.draw.random() < 0.5 else until_ms
        index = dict.fromkeys((Channel.AGENT, Channel.CUSTOMER), 0)
        speaker = Channel.AGENT
        while at_ms < until_ms:
            long_ms = self.draw.randrange(1500, 6500)
            yield self._score(speaker, index[speaker], at_ms, min(at_ms + long_ms, self.age_ms))
            index[speaker] += 1
            speaker = Channel.CUSTOMER if speaker == Channel.AGENT else Channel.AGENT
            at_ms += long_ms + self.draw.randrange(300, 4000)
            if at_ms > hold_at_ms:
                at_ms, hold_at_ms = at_ms + self.draw.randrange(31_000, 50_000), until_ms

    def _score(self, speaker, index, start_ms, end_ms):
        customers = _BAD if self.is_bad else _FINE
        said = customers if speaker == Channel.CUSTOMER else _AGENT
        text, polarity, nouns = self.draw.choice(said)
        return Score(
            key=self.key(speaker),
            started_at_ms=self.started_at_ms,
            index=index,
            first_sample=start_ms * _RATE_HZ // 1000,
            start_ms=start_ms,
            end_ms=end_ms,
            text=text,
            polarity=max(-1.0, min(1.0, round(polarity + self.draw.uniform(-0.1, 0.1), 3)))
            if polarity
            else 0.0,
            subjectivity=0.5,
            nouns=tuple(nouns),
            consumer="sentiment",
            scorer="seed",
        )

    def _gap(self):
        start_ms = self.age_ms // 2
        return Missing(
            key=self.key(Channel.CUSTOMER),
            started_at_ms=self.started_at_ms,
            first_sample=start_ms * _RATE_HZ // 1000,
            start_ms=start_ms,
            end_ms=start_ms + 1500,
            reason=GapReason.LOST,
        )

    def _end(self, scores, gaps):
        ended_at_ms = self.started_at_ms + self.age_ms
        return CallEnd(
            TENANT,
            self.call,
            self.started_at_ms,
            ended_at_ms,
            EndReason.HANGUP,
            chunks=self.age_ms // 250 * 2,
            utterances=len(scores),
            gaps=gaps,
        )


def seed(board: Board, lines: int = 30, *, now_ms: int | None = None, number: int = 1) -> None:
    """Tell *board* of *lines* calls; *number* seeds the draw."""
    draw = random.Random(number)
    at_ms = int(time.time() * 1000) if now_ms is None else now_ms
    for line in range(lines):
        for fact in Seeded(line, at_ms, draw).facts():
            board.put(fact)
    # All of it is told at once and long after it was said, which the board would allow for.
    board._client.delete(keys.board_lags(TENANT))


def seed_health(client: redis.Redis, *, expires_ms: int = 10 * 60 * 1000) -> None:
    """Report two decoders, two functions (one at 0), a lag, a dead letter, and partial words."""
    for pod, sessions in (("decoder-1", 31), ("decoder-2", 27)):
        client.sadd(keys.PODS, pod)
        counted = {"sessions": sessions, "capacity": 120, "chunks": 48_213, "forwards": 24_019}
        since = {
            "adoptions": 2,
            "releases": 5,
            "undecodable": 0,
            "started_at_ms": 1_700_000_000_000,
        }
        client.hset(keys.pod(pod), mapping={"address": "127.0.0.1:1", **counted, **since})
        client.pexpire(keys.pod(pod), expires_ms)
    functions = {"sentiment.replicas": 1, "sentiment.cold_starts": 3}
    idle = {"board.replicas": 0, "board.cold_starts": 2}
    sources = {"lag.sentiment": 2, "lag.board-scores": 0, "lag.board-calls": 0}
    dead = {"dead.sentiment": 1, "dead.board-scores": 0, "dead.board-calls": 0}
    for role, report in (("functions", functions | idle), ("dispatcher", sources | dead)):
        client.hset(keys.health(role), mapping=report)
        client.pexpire(keys.health(role), expires_ms)
    client.xadd(keys.outbox(events.partition_of("seed")), {"topic": "calls"})


def seed_partials(client: redis.Redis, board: Board, *, expires_ms: int = 10 * 60 * 1000) -> None:
    """Leave words being spoken on every third live call."""
    live = [row for row in board.snapshot(TENANT).rows if row.ended_at_ms is None]
    for row in live[::3]:
        key = keys.partial(TENANT, row.call, Channel.CUSTOMER)
        client.set(key, "and then they told me", px=expires_ms)


def main(url: str, lines: str = "30") -> None:
    """Seed the Redis at *url*."""
    board = Board.from_url(url)
    client = redis.Redis.from_url(url)
    seed(board, int(lines))
    seed_health(client)
    seed_partials(client, board)
    snapshot = board.snapshot(TENANT)
    sys.stdout.write(f"{len(snapshot.rows)} calls, {len(snapshot.alerts)} alerts\n")
    board.close()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
