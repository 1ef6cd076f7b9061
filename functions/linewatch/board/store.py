"""The board in Redis: one writer's script, one reader's pipeline.

A call is a hash of everything told of it. Each put reads it whole, works the row
and the alerts out anew, and writes them together with the new fact if nobody else
wrote in between. So the row always tells the whole set, in whichever order and
however often it was told.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from linewatch import keys
from linewatch.board import encoding, health, rules, summary
from linewatch.board.encoding import Fact
from linewatch.board.facts import CallFacts, name_of, with_fact
from linewatch.board.rows import (
    AlertRow,
    CallDetail,
    CallRow,
    Health,
    Said,
    Snapshot,
    Unheard,
)
from linewatch.board.rules import Rule
from linewatch.board.scores import ANYBODY, Shown
from linewatch.calls import Alert, Channel, Missing, Score
from linewatch.errors import StoreUnavailable
from linewatch.events import PARTITIONS
from linewatch.readiness import Readiness

#: Two tries must fit into the second after which "away" is said.
_TIMEOUT_S: Final = 0.45
#: A call that never ends leaves the board when it was not heard of for so long.
UNENDED_ROW_EXPIRES_S: Final = 24 * 3600
_TRIES: Final = 100
_ALERT: Final = "alert:"
_SENT: Final = "sent:"


class Put(NamedTuple):
    """What came of a fact: the call's row, and the alerts nobody was told of yet."""

    row: CallRow
    unpublished: list[Alert]


@dataclass(frozen=True, slots=True)
class _Told:
    """A call's hash, taken apart."""

    version: str
    shown: Shown
    facts: dict[str, str]
    alerts: dict[str, str]
    sent: frozenset[str]

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> _Told:
        left = dict(fields)
        version = left.pop("version", "0")
        shown = Shown(tuple(filter(None, left.pop("shown", "").split(","))))
        alerts = {
            field.removeprefix(_ALERT): left.pop(field) for field in fields if _is(field, _ALERT)
        }
        sent = [field for field in fields if _is(field, _SENT)]
        for field in sent:
            del left[field]
        names = frozenset(each.removeprefix(_SENT) for each in sent)
        return cls(version, shown, left, alerts, names)

    def of(self, field: str) -> tuple[Fact, ...]:
        return encoding.loads_facts(field, self.facts.get(field, "[]"))

    def values(self) -> list[Fact]:
        return [fact for field in self.facts for fact in self.of(field)]


class Board:
    """The read model of all calls, by tenant.

    Every method raises `StoreUnavailable` within about a second if Redis does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        alert_rules: Sequence[Rule] | None = None,
        shown: Shown = ANYBODY,
    ) -> None:
        self._client: Any = client
        self._ready = Readiness(self._ping)
        self._shown = shown
        self._rules = rules.default_rules() if alert_rules is None else alert_rules
        self._write = self._client.register_script(_script("put"))
        self._note_published = self._client.register_script(_script("published"))

    @classmethod
    def from_url(cls, url: str, shown: Shown = ANYBODY) -> Board:
        """Use the Redis at *url*; nothing is connected before the first use.

        *shown* matters to who puts: what is read was chosen then.
        """
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(client, shown=shown)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

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

        A call that ended and left the board is not brought back by what comes after.
        """
        tenant, call = name_of(fact)
        with _available():
            for attempt in range(_TRIES):
                told = _Told.read(self._client.hgetall(keys.board_call(tenant, call)))
                put = self._try(told, fact)
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
        with _available(), self._client.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.get(keys.board_newest(tenant))
            pipe.zrevrange(keys.board_calls(tenant), 0, -1)
            pipe.zrange(keys.board_expiries(tenant), 0, -1, withscores=True)
            pipe.hgetall(keys.board_rows(tenant))
            pipe.hgetall(keys.board_alerts(tenant))
            _ask_health(pipe)
            clock, newest, order, expiries, texts, alerts, *reports = pipe.execute()
            pipeline_health = self._health(reports)
        now_ms = _ms(clock)
        shown = {call for call, expires_ms in expiries if expires_ms > now_ms}
        rows = {call: encoding.loads_row(texts[call]) for call in order if call in shown}
        return Snapshot(
            taken_at_ms=now_ms,
            newest_at_ms=int(newest) if newest else None,
            rows=tuple(rows.values()),
            alerts=_queue(rows, alerts),
            health=pipeline_health,
        )

    def detail(self, tenant: str, call: str) -> CallDetail | None:
        """Return all that is known of one call; none if the board does not know it."""
        partials = [keys.partial(tenant, call, channel) for channel in Channel]
        with _available(), self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.board_call(tenant, call))
            pipe.hget(keys.board_rows(tenant), call)
            pipe.mget(partials)
            fields, text, words = pipe.execute()
        if not fields or text is None:
            return None
        row = encoding.loads_row(text)
        told = _Told.read(fields)
        facts = CallFacts.of(told.values(), told.shown)
        queue = _queue({call: row}, {f"{call}|{rule}": told.alerts[rule] for rule in row.rules})
        spoken = {channel: said for channel, said in zip(Channel, words, strict=True) if said}
        said, others = _said(facts.scores), _said(facts.others)
        return CallDetail(row, said, _unheard(facts.gaps), queue, spoken, others)

    def _try(self, told: _Told, fact: Fact) -> Put | None:
        field = encoding.field_of(fact)
        stands = with_fact(told.of(field), fact)
        facts = CallFacts.of([*told.values(), fact], self._shown)
        alerts = rules.raised(facts, self._rules)
        row = summary.summarize(facts, alerts)
        if stands != told.of(field):
            answer = self._commit(told, field, encoding.dumps_facts(stands), row, alerts)
            if answer == "moved":
                return None
            if answer == "gone":
                return Put(row, [])
        return Put(
            row, [_as_raised(told, alert) for alert in alerts if alert.rule not in told.sent]
        )

    def _commit(
        self, told: _Told, field: str, text: str, row: CallRow, alerts: Sequence[Alert]
    ) -> str:
        ended = row.ended_at_ms is not None
        lapsed = sorted(told.alerts.keys() - row.rules)
        holding = [part for alert in alerts for part in (alert.rule, encoding.dumps(alert))]
        head: list[str | float] = [
            told.version,
            row.call,
            field,
            text,
            ",".join(self._shown.consumers),
            encoding.dumps(row),
            summary.rank(row),
        ]
        expires_s = keys.ENDED_ROW_EXPIRES_S if ended else UNENDED_ROW_EXPIRES_S
        gone_expires_s = keys.TOMBSTONE_EXPIRES_S if ended else 0
        answer: str = self._write(
            keys=_written_keys(row.tenant, row.call),
            args=[*head, expires_s, gone_expires_s, len(lapsed), *lapsed, *holding],
        )
        return answer

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
            outbox=outbox,
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
    ]


def _ask_health(pipe: Any) -> None:  # noqa: ANN401 - redis-py types a pipeline's answers as awaitable too
    pipe.info("memory")
    pipe.hgetall(keys.health("functions"))
    pipe.hgetall(keys.health("dispatcher"))
    pipe.smembers(keys.PODS)
    for partition in range(PARTITIONS):
        pipe.xlen(keys.outbox(partition))


def _queue(rows: Mapping[str, CallRow], alerts: Mapping[str, str]) -> tuple[AlertRow, ...]:
    """The alerts of *rows*, worst first, then oldest first; those of one moment by their call."""
    found = []
    for field, text in alerts.items():
        row = rows.get(field.partition("|")[0])
        if row:
            raised_at_ms, _, written = text.partition("|")
            found.append(_alert_row(row, encoding.loads_alert(written), int(raised_at_ms)))
    return tuple(sorted(found, key=_urgency))


def _urgency(alert: AlertRow) -> tuple[int, int, str, str]:
    return -rules.WEIGHTS[alert.severity], alert.raised_at_ms, alert.call, alert.rule


def _alert_row(row: CallRow, alert: Alert, raised_at_ms: int) -> AlertRow:
    return AlertRow(
        tenant=row.tenant,
        call=row.call,
        line=row.line,
        rule=alert.rule,
        severity=alert.severity,
        reason=alert.reason,
        raised_at_ms=raised_at_ms,
    )


def _as_raised(told: _Told, alert: Alert) -> Alert:
    """The alert as it was raised first: its event must be the same bytes each time it is sent."""
    kept = told.alerts.get(alert.rule)
    return encoding.loads_alert(kept.partition("|")[2]) if kept else alert


def _said(scores: Sequence[Score]) -> tuple[Said, ...]:
    return tuple(
        Said(
            channel=score.key.channel,
            first_sample=score.first_sample,
            start_ms=score.start_ms,
            end_ms=score.end_ms,
            text=score.text,
            polarity=score.polarity,
            nouns=score.nouns,
            consumer=score.consumer,
            scorer_version=score.scorer_version,
        )
        for score in scores
    )


def _unheard(gaps: Sequence[Missing]) -> tuple[Unheard, ...]:
    return tuple(Unheard(gap.key.channel, gap.start_ms, gap.end_ms, gap.reason) for gap in gaps)


def _is(field: str, prefix: str) -> bool:
    return field.startswith(prefix)


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
        raise StoreUnavailable(detail) from error
