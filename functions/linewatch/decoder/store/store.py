"""Sessions, pods and calls in Redis: every change of a session is one fenced script.

The epoch of a session is its fencing token: a pod that lost a session is refused
at its next write. See ``lua/`` for the scripts and `linewatch.keys` for the keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, Self, cast

import redis

from linewatch import keys
from linewatch.calls import (
    CallEnd,
    CallStart,
    Channel,
    ChannelKey,
    EndReason,
    Gap,
    Step,
)
from linewatch.decoder.recognition.session import Edge
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store.answers import (
    Claim,
    Claimed,
    Committed,
    Owner,
    Pod,
    Pressure,
    Receipt,
    Stored,
    Waiting,
    ended_of,
    final_of,
    stored_of,
    waiting_of,
)
from linewatch.decoder.store.scripts import Part, Scripts
from linewatch.errors import NewerCheckpoint, StoreUnavailable
from linewatch.eventlog.redis_writer import connect
from linewatch.events import (
    PARTITIONS,
    Record,
    call_ended,
    call_gap,
    call_started,
    partition_of,
    to_record,
    utterance_final,
)

#: What a checkpoint of this code looks like; a newer one is refused, never guessed at.
VERSION: Final = 1
TIMEOUT_S: Final = 0.4
_SESSION_KEYS: Final = (keys.session, keys.tail, keys.taken, keys.finals)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable("Redis does not answer: send the same request again") from error


def _text(found: object) -> str:
    return found.decode() if isinstance(found, bytes) else str(found)


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {_text(flat[i]): _text(flat[i + 1]) for i in range(0, len(flat), 2)}


def _flat(record: Record) -> list[Part]:
    return [part for pair in record.fields().items() for part in pair]


class Store:
    """All that a decoder keeps in Redis. Any method may raise `StoreUnavailable`.

    Args:
        client: Its time-outs bound how long a method may take.
        pod: This pod's id.
    """

    def __init__(self, client: redis.Redis, pod: str) -> None:
        self._redis = client
        self.pod: Final = pod
        self._scripts = Scripts(client)

    @classmethod
    def from_url(cls, url: str, pod: str) -> Self:
        """Connect lazily. Nothing is retried here: a repeat is the sender's to make."""
        return cls(connect(url, TIMEOUT_S), pod)

    def _run(self, script: str, names: Sequence[str], *arguments: Iterable[Part]) -> Any:  # noqa: ANN401 - whatever the script answers
        with _answering():
            return self._scripts.run(script, names, list(chain(*arguments)))

    def claim(
        self,
        key: ChannelKey,
        start: CallStart | None = None,
        *,
        rate_hz: int = 0,
        suspect: bool = False,
        dead: Owner | None = None,
    ) -> Claim:
        """Find the session's owner, or become it.

        Args:
            key: Whose session.
            start: Given where the session may be made.
            rate_hz: The rate of a session that is made.
            suspect: Take it even if its last owner died while decoding it.
            dead: An owner that cannot be reached; taken from it if nothing changed.

        Raises:
            NewerCheckpoint: newer code wrote the session.
        """
        record = _flat(to_record(call_started(start))) if start else []
        answer = self._run(
            "claim",
            [
                keys.session(key),
                keys.tail(key),
                keys.call(key.tenant, key.call),
                keys.SESSIONS,
                keys.outbox(partition_of(key.call)),
            ],
            [self.pod, keys.member(key), VERSION, int(start is not None), int(suspect)],
            [dead.pod if dead else "", dead.epoch if dead else 0, rate_hz],
            [start.started_at_ms if start else 0, str(key.channel), *record],
        )
        return self._claim(Claimed(_text(answer[0])), _pairs(answer[1]), answer[2])

    def _claim(self, state: Claimed, fields: Mapping[str, str], tail: Sequence[bytes]) -> Claim:
        if state is Claimed.NEWER:
            raise NewerCheckpoint(
                f"the session has version {fields['version']}, this pod knows {VERSION}: "
                "send again, a newer pod will take it"
            )
        if state is Claimed.OWNED:
            owner = Owner(fields["owner"], int(fields["epoch"]), fields["address"])
            return Claim(state, owner=owner)
        return Claim(state, stored_of(fields), tuple(packed_steps.unpack(each) for each in tail))

    def commit(self, key: ChannelKey, epoch: int, step: Step) -> Receipt:
        """Append *step* to the tail if it is the next one and the session still ours."""
        packed = packed_steps.pack(step)
        kind, seq, after, position, end_position = packed_steps.numbers(step)
        paused = isinstance(step, Gap) and step.reason == "paused"
        answer = self._run(
            "commit",
            [keys.session(key), keys.tail(key), keys.taken(key), keys.SESSIONS],
            [epoch, kind, step.stream, seq, after, position, end_position, packed],
            [packed_steps.fingerprint(packed), keys.member(key), int(paused)],
        )
        return Receipt(Committed(_text(answer[0])), *map(int, answer[1:]))

    def pass_edge(self, key: ChannelKey, epoch: int, edge: Edge, end_reason: str = "") -> bool:
        """Move the session on past *edge* and put its events into the outbox.

        Returns:
            Whether the session is still this pod's.
        """
        events = [utterance_final(edge.utterance)] if edge.utterance else []
        events += [call_gap(edge.missing)] if edge.missing else []
        records = [_flat(to_record(event)) for event in events]
        after = edge.checkpoint
        answer = self._run(
            "edge",
            [
                keys.session(key),
                keys.tail(key),
                keys.finals(key),
                keys.call(key.tenant, key.call),
                keys.outbox(partition_of(key.call)),
            ],
            [epoch, after.edges - 1, after.first_sample, after.edge_sample, after.index, edge.drop],
            [json.dumps(final_of(edge.utterance)) if edge.utterance else "", end_reason],
            [str(key.channel), int(edge.missing is not None), *map(len, records), -1],
            [part for record in records for part in record],
        )
        return _text(answer) != "moved"

    def prove(self, key: ChannelKey, epoch: int) -> None:
        """Note that the session's tail was decoded without killing anybody."""
        self._run("own", [keys.session(key)], [epoch, "attempts", 0])

    def release(self, key: ChannelKey, epoch: int) -> None:
        """Give the session up: the next pod that gets a step of it adopts it."""
        self._run("own", [keys.session(key)], [epoch, "owner", ""])

    def finals(self, key: ChannelKey, after: int) -> list[dict[str, Any]]:
        """Return the last finals whose first sample lies after *after*."""
        with _answering():
            found = cast("list[bytes]", self._redis.lrange(keys.finals(key), 0, -1))
        read = (json.loads(each) for each in found)
        return [final for final in read if final["first_sample"] > after]

    def peek(self, key: ChannelKey) -> Stored | None:
        """Return the session without touching it."""
        with _answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.session(key)))
        return stored_of({_text(name): _text(value) for name, value in found.items()})

    def is_owned(self, key: ChannelKey) -> bool:
        """Tell whether a living pod owns the session."""
        with _answering():
            owner = cast("bytes | None", self._redis.hget(keys.session(key), "owner"))
            return bool(owner) and bool(self._redis.exists(keys.pod(_text(owner))))

    def keep_undecodable(self, key: ChannelKey, tail: Sequence[Step], kept: int) -> None:
        """Keep audio that killed its decoder, the last *kept* pieces of the tenant."""
        name = keys.undecodable(key.tenant)
        with _answering(), self._redis.pipeline() as pipe:
            pipe.lpush(name, *(packed_steps.pack(step) for step in tail))
            pipe.ltrim(name, 0, kept - 1)
            pipe.expire(name, keys.TOMBSTONE_EXPIRES_S)
            pipe.execute()

    def idle(self, for_s: float) -> list[ChannelKey]:
        """Return the channels that got no step for so long, by Redis' clock."""
        with _answering():
            before_ms = self._clock_ms() - round(for_s * 1000)
            found = cast("list[bytes]", self._redis.zrangebyscore(keys.SESSIONS, "-inf", before_ms))
        return [keys.of_member(_text(name)) for name in found]

    def waiting(self, key: ChannelKey) -> Waiting | None:
        """Tell how a channel waits; none and no more in the index if it is no more."""
        call, channel = keys.call(key.tenant, key.call), key.channel
        with _answering():
            session = self._redis.hmget(keys.session(key), "paused", "ended")
            facts = self._redis.hmget(call, "closed", f"ch:{channel}", f"refused:{channel}")
            last_ms = self._redis.zscore(keys.SESSIONS, keys.member(key))
            waits = None
            if last_ms is not None:
                waits = waiting_of(session, facts, (self._clock_ms() - last_ms) / 1000)
            if waits is None:
                self._redis.zrem(keys.SESSIONS, keys.member(key))
        return waits

    def _clock_ms(self) -> int:
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def announce(self, start: CallStart, channels: Sequence[Channel]) -> tuple[int, int]:
        """Announce a call: (1 new, 0 known, -1 closed) and when it started."""
        record = _flat(to_record(call_started(start)))
        answer = self._run(
            "announce",
            [
                keys.call(start.tenant, start.call),
                keys.outbox(partition_of(start.call)),
                keys.SESSIONS,
            ],
            [start.started_at_ms, keys.TOMBSTONE_EXPIRES_S, len(channels), *map(str, channels)],
            [keys.member(ChannelKey(start.tenant, start.call, each)) for each in channels],
            record,
        )
        return int(answer[0]), int(answer[1])

    def close(
        self, tenant: str, call: str, now_ms: int, given_up: Collection[ChannelKey] = ()
    ) -> bool:
        """Publish ``call.ended``, once, if no channel is open; leave the tombstone.

        An announced channel that never sent keeps the call open, unless it is *given_up*.
        """
        with _answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.call(tenant, call)))
        facts = {_text(name): _text(value) for name, value in found.items()}
        ended = ended_of(tenant, call, facts, given_up)
        if ended is None:
            return False
        end = self._count(tenant, call, int(facts["started_at_ms"]), ended)
        names = [name(key) for key in ended for name in _SESSION_KEYS]
        answer = self._run(
            "close",
            [keys.call(tenant, call), keys.outbox(partition_of(call)), keys.SESSIONS, *names],
            [now_ms, keys.TOMBSTONE_EXPIRES_S, keys.ENDED_SESSION_EXPIRES_S, len(ended)],
            [str(key.channel) for key in ended],
            [keys.member(key) for key in ended],
            _flat(to_record(call_ended(end))),
        )
        return bool(answer)

    def _count(
        self, tenant: str, call: str, started_at_ms: int, ended: Mapping[ChannelKey, str]
    ) -> CallEnd:
        names = ("chunks", "index", "gaps", "next_position", "rate_hz")
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            for key in ended:
                pipe.hmget(keys.session(key), names)
            rows = [[int(cell or 0) for cell in row] for row in pipe.execute()]
        lengths_ms = [position * 1000 // (rate or 1) for *_, position, rate in rows]
        reasons = sorted(ended.values()) or [EndReason.ABANDONED]
        return CallEnd(
            tenant=tenant,
            call=call,
            started_at_ms=started_at_ms,
            ended_at_ms=started_at_ms + max(lengths_ms, default=0),
            reason=EndReason(reasons[0]),
            chunks=sum(row[0] for row in rows),
            utterances=sum(row[1] for row in rows),
            gaps=sum(row[2] for row in rows),
        )

    def channels(self, tenant: str, call: str) -> list[ChannelKey]:
        """Return the channels of a call that were opened and have not ended."""
        with _answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.call(tenant, call)))
        return [
            ChannelKey.of(tenant, call, _text(name).removeprefix("ch:"))
            for name, state in found.items()
            if name.startswith(b"ch:") and state == b"open"
        ]

    def alias(
        self, tenant: str, name: str, call: str, expires_s: int, *, anew: bool = False
    ) -> str:
        """Return the call *name* stands for, *call* if for none or *anew*; lives on from now."""
        key = keys.alias(tenant, name)
        with _answering(), self._redis.pipeline() as pipe:
            pipe.set(key, call, ex=expires_s, nx=not anew)
            pipe.expire(key, expires_s)
            pipe.get(key)
            return _text(pipe.execute()[-1])

    def renew(self, facts: Mapping[str, str | int]) -> None:
        """Renew this pod's lease and show its *facts*."""
        name = keys.pod(self.pod)
        with _answering(), self._redis.pipeline() as pipe:
            pipe.hset(name, mapping=cast("dict[Any, Any]", facts))
            pipe.pexpire(name, keys.POD_LEASE_MS)
            pipe.sadd(keys.PODS, self.pod)
            pipe.execute()

    def extend(self) -> bool:
        """Keep this pod's lease; tell whether it had not run out."""
        with _answering():
            return bool(self._redis.pexpire(keys.pod(self.pod), keys.POD_LEASE_MS))

    def retire(self) -> None:
        """Drop the lease at once: this pod's sessions may be adopted."""
        with _answering():
            self._redis.delete(keys.pod(self.pod))
            self._redis.srem(keys.PODS, self.pod)

    def pods(self) -> list[Pod]:
        """Return the living pods and forget the dead."""
        with _answering():
            members = cast("set[bytes]", self._redis.smembers(keys.PODS))
            ids = sorted(map(_text, members))
            with self._redis.pipeline(transaction=False) as pipe:
                for pod in ids:
                    pipe.hmget(keys.pod(pod), "address", "sessions", "capacity")
                found = dict(zip(ids, pipe.execute(), strict=True))
            dead = [pod for pod, (address, *_) in found.items() if address is None]
            if dead:
                self._redis.srem(keys.PODS, *dead)
        return [
            Pod(pod, _text(address), int(sessions or 0), int(capacity or 0))
            for pod, (address, sessions, capacity) in found.items()
            if address is not None
        ]

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now."""
        self._scripts.drop_idle()

    def pressure(self) -> Pressure:
        """Tell how full the store is."""
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.info("memory")
            for partition in range(PARTITIONS):
                pipe.xlen(keys.outbox(partition))
            memory, *lengths = pipe.execute()
        limit = int(memory.get("maxmemory") or 0)
        used = int(memory["used_memory"]) / limit if limit else 0.0
        return Pressure(used, sum(lengths), str(memory.get("maxmemory_policy", "")))

    def show_partials(self, partials: Mapping[ChannelKey, str]) -> None:
        """Show the words being spoken; an empty text removes them."""
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            for key, text in partials.items():
                name = keys.partial(key.tenant, key.call, str(key.channel))
                if text:
                    pipe.set(name, text, px=keys.PARTIAL_EXPIRES_MS)
                else:
                    pipe.delete(name)
            pipe.execute()
