"""The board in Redis: one writer's script, one reader's pipeline.

A call is a hash of everything told of it, and of its fold (see `linewatch.board.fold`). Each put
reads the fold, takes the new fact in, and writes both together with the row and the alerts if
nobody else wrote in between. Only where the fold cannot take the fact, because it came late by
many turns, or corrects what was said long ago, is everything read and folded anew. So the row
always tells the whole set, in whichever order and however often it was told.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from linewatch import keys
from linewatch.board import encoding, health, rules, summary
from linewatch.board.alerts import raised
from linewatch.board.detail import queue_of, said_of, unheard_of
from linewatch.board.encoding import Fact
from linewatch.board.facts import CallFacts, name_of
from linewatch.board.fold import Terms
from linewatch.board.kept import VERSION, Change, Kept, packed, part_of
from linewatch.board.rows import (
    CallDetail,
    CallRow,
    Health,
    Snapshot,
)
from linewatch.board.rules import Rule
from linewatch.board.scores import ANYBODY, Shown
from linewatch.calls import Alert, Channel, Missing, Score
from linewatch.errors import StoreUnavailable, TooLate
from linewatch.eventlog.protocol import KEPT_S
from linewatch.eventlog.redis_connections import check, client_of, unavailable
from linewatch.events import PARTITIONS
from linewatch.names import encoded
from linewatch.serving.readiness import Readiness

#: Two tries must fit into the second after which "away" is said.
_TIMEOUT_S: Final = 0.45
#: A call that never ends leaves the board when it was not heard of for so long.
UNENDED_ROW_EXPIRES_S: Final = 24 * 3600
_TRIES: Final = 100
#: A decoder of an earlier version does not tell which channels have a partial.
_USUAL: Final = (Channel.AGENT, Channel.CUSTOMER, Channel.MIXED)


class Put(NamedTuple):
    """What came of a fact: the call's row, and the alerts nobody was told of yet.

    *unreadable* counts the facts that were left out because newer code wrote them.
    """

    row: CallRow
    unpublished: list[Alert]
    unreadable: int = 0


class Board:
    """The read model of all calls, by tenant.

    Every method raises `StoreUnavailable` within about a second if Redis does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        alert_rules: Sequence[Rule] | None = None,
        shown: Shown = ANYBODY,
        log_kept_s: int = KEPT_S,
    ) -> None:
        self._client: Any = client
        self._log_kept_s = log_kept_s
        self._ready = Readiness(self._ping)
        chosen = rules.default_rules() if alert_rules is None else alert_rules
        self._terms = Terms(chosen, shown)
        self._write = self._client.register_script(_script("put"))
        self._write_packed = self._client.register_script(_script("packed"))
        self._note_published = self._client.register_script(_script("published"))

    @classmethod
    def from_url(cls, url: str, shown: Shown = ANYBODY, log_kept_s: int = KEPT_S) -> Board:
        """Use the Redis at *url*; nothing is connected before the first use.

        *shown* matters to who puts: what is read was chosen then. So does *log_kept_s*, how
        long the event log can replay what it holds.
        """
        client = client_of(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(client, shown=shown, log_kept_s=log_kept_s)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def check(self, *, writes: bool = True) -> None:
        """Return if Redis lets us write, or only read, or does not answer yet.

        Raises:
            SettingsError: it does not let us; says what to set.
        """
        names = keys.board_newest(""), keys.board_gone("", "")
        check(self._client, *names, writes=writes)

    def ping(self) -> None:
        """Return if Redis answers; for probes, see `Readiness`.

        Raises:
            Unavailable: it does not.
        """
        self._ready.check()

    def _ping(self) -> None:
        with _available():
            self._client.ping()

    def put(self, fact: Fact) -> Put:
        """Take *fact* in; told again it changes nothing.

        A call that left the page is not brought back by what comes after, but its alerts are.

        Raises:
            TooLate: what was known of the call has expired.
        """
        with _available():
            for attempt in range(_TRIES):
                put = self._try(fact)
                if put:
                    return put
                time.sleep(random.uniform(0, 0.001) * attempt)  # noqa: S311 - only spreads the tries
        raise StoreUnavailable("too many events of this call at once: send the event again")

    def mark_published(self, alert: Alert) -> None:
        """Note that *alert*'s event was taken by the sink."""
        with _available():
            self._note_published(
                keys=[keys.board_call(alert.tenant, alert.call)], args=[alert.rule]
            )

    def snapshot(self, tenant: str) -> Snapshot:
        """Return the tenant's whole board, worst call first, and the pipeline's health."""

        def ask(pipe: Any) -> None:  # noqa: ANN401 - redis-py types a pipeline's answers as awaitable too
            pipe.time()
            pipe.get(keys.board_newest(tenant))
            pipe.zrevrange(keys.board_calls(tenant), 0, -1)
            pipe.zrange(keys.board_expiries(tenant), 0, -1, withscores=True)
            pipe.hgetall(keys.board_rows(tenant))
            pipe.hgetall(keys.board_alerts(tenant))
            pipe.hgetall(keys.board_lags(tenant))
            _ask_health(pipe)

        with _available():
            clock, newest, order, expiries, texts, alerts, lags, *reports = self._read(ask)
            pipeline_health = self._health(reports)
        now_ms = _ms(clock)
        shown = {call for call, expires_ms in expiries if expires_ms > now_ms} & texts.keys()
        read = {call: _row(texts[call], lags.get(call)) for call in order if call in shown}
        rows = {call: row for call, row in read.items() if row}
        queue, unread = queue_of(rows, alerts)
        return Snapshot(
            taken_at_ms=now_ms,
            newest_at_ms=int(newest) if newest else None,
            rows=tuple(rows.values()),
            alerts=queue,
            health=pipeline_health,
            unreadable=(*(call for call in read if call not in rows), *unread),
        )

    def detail(self, tenant: str, call: str) -> CallDetail | None:
        """Return all that is known of one call; none if the board does not know it."""

        def ask(pipe: Any) -> None:  # noqa: ANN401 - as in `snapshot`
            pipe.hgetall(keys.board_call(tenant, call))
            pipe.hget(keys.board_rows(tenant), encoded(call))
            pipe.hget(keys.board_lags(tenant), encoded(call))
            pipe.smembers(keys.partials(tenant, call))

        with _available():
            fields, text, late_ms, channels = self._read(ask)
        row = _row(text, late_ms) if fields and text else None
        if row is None:
            return None
        kept = Kept.of(fields)
        facts = CallFacts.of(kept.values(), kept.shown)
        holding = kept.alerts.keys() & row.rules
        name = encoded(call)
        queue, _ = queue_of({name: row}, {f"{name}|{rule}": kept.alerts[rule] for rule in holding})
        spoken = self._partials(tenant, call, sorted({*_USUAL, *map(Channel, channels)}))
        said, others = said_of(facts.scores), said_of(facts.others)
        return CallDetail(row, said, unheard_of(facts), queue, spoken, others)

    def _read(self, ask: Callable[[Any], None]) -> list[Any]:
        """Return the answers to what *ask* asks, all of one moment.

        A full Redis takes no transaction, so there they are of moments one after the other.
        """
        try:
            return self._asked(ask, transaction=True)
        except redis.exceptions.OutOfMemoryError:
            return self._asked(ask, transaction=False)

    def _asked(self, ask: Callable[[Any], None], *, transaction: bool) -> list[Any]:
        with self._client.pipeline(transaction=transaction) as pipe:
            ask(pipe)
            answers: list[Any] = pipe.execute()
            return answers

    def _partials(self, tenant: str, call: str, channels: Sequence[Channel]) -> dict[Channel, str]:
        with _available():
            words = self._client.mget([keys.partial(tenant, call, each) for each in channels])
        return {channel: said for channel, said in zip(channels, words, strict=True) if said}

    def _try(self, fact: Fact) -> Put | None:
        tenant, call = name_of(fact)
        key = keys.board_call(tenant, call)
        kept = self._part(key, fact)
        change = Change.by_fold(kept, fact, self._terms)
        if change is None:
            kept = Kept.of(self._client.hgetall(key))
            change = Change.by_facts(kept, fact, self._terms)
        alerts = raised(change.state, self._terms, change.facts)
        row = summary.summarize(change.state, alerts)
        if change.is_news:
            answer = self._commit(kept, change, row, alerts, _heard_at_ms(fact))
            if answer == "moved":
                return None
        unpublished = [alert for alert in alerts if alert.rule not in kept.sent]
        raised_first = [_as_raised(kept, alert) for alert in unpublished]
        return Put(row, raised_first, kept.unreadable)

    def _part(self, key: str, fact: Fact) -> Kept:
        names = part_of(fact, self._terms.rules)
        texts = self._client.hmget(key, names)
        found = zip(names, texts, strict=True)
        return Kept.of({name: text for name, text in found if text is not None})

    def _commit(
        self, kept: Kept, change: Change, row: CallRow, alerts: Sequence[Alert], heard: int | str
    ) -> str:
        ended = row.ended_at_ms is not None
        lapsed = sorted(kept.alerts.keys() - row.rules)
        holding = [part for alert in alerts for part in (alert.rule, encoding.dumps(alert))]
        head: list[str | float] = [
            kept.version,
            encoded(row.call),
            change.field,
            change.text,
            ",".join(self._terms.shown.consumers),
            change.folded,
            encoding.dumps(row),
            summary.rank(row),
        ]
        shown_s = keys.ENDED_ROW_EXPIRES_S if ended else UNENDED_ROW_EXPIRES_S
        kept_s = keys.FACTS_EXPIRES_S
        lives = [row.started_at_ms, int(ended), shown_s, kept_s, kept_s + self._log_kept_s]
        answer, *more = self._write(
            keys=_written_keys(row.tenant, row.call),
            args=[*head, *lives, heard, len(lapsed), *lapsed, *holding],
        )
        if answer == "gone":
            raise TooLate(f"told {_hours(*more)}after the call left the board")
        for call in more:
            self._pack(row.tenant, unquote(call))
        return str(answer)

    def _pack(self, tenant: str, call: str) -> None:
        """Make what is known of a call that left the page small: late events are rare."""
        key = keys.board_call(tenant, call)
        fields = self._client.hgetall(key)
        names, text = packed(fields)
        if names:
            self._write_packed(keys=[key], args=[fields[VERSION], text, *names])

    def _health(self, reports: list[Any]) -> Health:
        memory, functions, dispatcher, pods, *outbox = reports
        with self._client.pipeline(transaction=False) as pipe:
            names = sorted(pods)
            for name in names:
                pipe.hgetall(keys.pod(name))
            found = pipe.execute()
        return health.gather(
            pods=dict(zip(names, found, strict=True)),
            functions=functions,
            dispatcher=dispatcher,
            outbox=outbox[::2],
            first_at_ms=_first_ms(outbox[1::2]),
            memory=memory,
        )


def _written_keys(tenant: str, call: str) -> list[str]:
    of_tenant: list[Callable[[str], str]] = [
        keys.board_rows,
        keys.board_calls,
        keys.board_alerts,
        keys.board_expiries,
        keys.board_newest,
    ]
    return [
        keys.board_call(tenant, call),
        *(name(tenant) for name in of_tenant),
        keys.board_gone(tenant, call),
        keys.board_lags(tenant),
    ]


def _heard_at_ms(fact: Fact) -> int | str:
    """When the last of what *fact* tells was heard, by its sender's clock; "" for nothing."""
    return fact.started_at_ms + fact.end_ms if isinstance(fact, Score | Missing) else ""


def _row(text: str, late_ms: str | None) -> CallRow | None:
    row = encoding.loads_row(text)
    return row and replace(row, late_ms=int(late_ms or 0))


def _ask_health(pipe: Any) -> None:  # noqa: ANN401 - redis-py types a pipeline's answers as awaitable too
    pipe.info("memory")
    pipe.hgetall(keys.health("functions"))
    pipe.hgetall(keys.health("dispatcher"))
    pipe.smembers(keys.PODS)
    for partition in range(PARTITIONS):
        pipe.xlen(keys.outbox(partition))
        pipe.xrange(keys.outbox(partition), count=1)


def _first_ms(streams: Iterable[Sequence[tuple[str, object]]]) -> int:
    """When the oldest of the first entries of *streams* was written; 0 if all are empty."""
    names = (name for entries in streams for name, _ in entries)
    return min((int(name.partition("-")[0]) for name in names), default=0)


def _as_raised(kept: Kept, alert: Alert) -> Alert:
    """The alert as it was raised first: its event must be the same bytes each time it is sent."""
    found = encoding.loads_raised(kept.alerts.get(alert.rule, ""))
    return found[1] if found else alert


def _hours(left_ms: int) -> str:
    """How long ago a call left the board, in words; below 0 it is not known."""
    return f"{left_ms // 3_600_000} h " if left_ms >= 0 else ""


def _ms(clock: tuple[int, int]) -> int:
    seconds, microseconds = clock
    return seconds * 1000 + microseconds // 1000


def _script(name: str) -> str:
    return resources.files("linewatch.board").joinpath(f"{name}.lua").read_text("utf-8")


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        detail = f"Redis does not answer ({type(error).__name__}): send the same request again"
        raise unavailable(error, detail) from error
