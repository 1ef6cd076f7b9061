"""Sessions, pods and calls in Redis: every change of a session is one fenced script.

The epoch of a session is its fencing token: a pod that lost a session is refused
at its next write. See ``lua/`` for the scripts and `linewatch.keys` for the keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, NamedTuple, Self, cast

import redis

from linewatch import keys
from linewatch.calls import (
    CallEnd,
    CallResumed,
    CallStart,
    Channel,
    ChannelKey,
    EndReason,
    Gap,
    Resume,
    Step,
)
from linewatch.decoder.recognition.session import Edge
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store.answers import (
    AWAITED,
    OPEN,
    Abandoned,
    CallFacts,
    Claim,
    Claimed,
    Committed,
    Owner,
    Pod,
    Pressure,
    Receipt,
    Stored,
    final_of,
    origin_text,
    stored_of,
)
from linewatch.decoder.store.scripts import Part, Scripts
from linewatch.errors import NewerCheckpoint, StoreUnavailable
from linewatch.eventlog.redis_writer import connect
from linewatch.events import (
    PARTITIONS,
    Record,
    call_ended,
    call_gap,
    call_resumed,
    call_started,
    partition_of,
    to_record,
    utterance_final,
)

#: What a checkpoint of this code looks like; a newer one is refused, never guessed at.
VERSION: Final = 2
TIMEOUT_S: Final = 0.4
#: A tick counts so much at the most: a store that was away, or a clock that was set, is no time
#: in which a sender was silent.
_LONGEST_TICK_MS: Final = 3000
#: So many idle channels, and quiet calls, are looked at in one turn.
_MOST_AT_ONCE: Final = 200
_SESSION_KEYS: Final = (keys.session, keys.tail, keys.taken, keys.finals)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable("Redis does not answer: send the same request again") from error


def _text(found: object) -> str:
    return found.decode() if isinstance(found, bytes) else str(found)


def _texts(found: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in found.items()}


def _pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {_text(flat[i]): _text(flat[i + 1]) for i in range(0, len(flat), 2)}


def _flat(record: Record) -> list[Part]:
    return [part for pair in record.fields().items() for part in pair]


class _Counted(NamedTuple):
    """What was counted over all channels of a call."""

    chunks: int
    utterances: int
    gaps: int
    length_ms: int


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
        goes_on: bool = False,
        resumed: CallResumed | None = None,
    ) -> Claim:
        """Find the session's owner, or become it.

        Args:
            key: Whose session.
            start: Given where the session may be made.
            rate_hz: The rate of a session that is made.
            suspect: Take it even if its last owner died while decoding it.
            dead: An owner that cannot be reached; taken from it if nothing changed.
            goes_on: Whether a channel that was given up with its call goes on...
            resumed: ...and given where the call itself comes back.

        Raises:
            NewerCheckpoint: newer code wrote the session.
        """
        record = _flat(to_record(call_started(start))) if start else []
        if resumed:
            record = _flat(to_record(call_resumed(resumed)))
        answer = self._run(
            "claim",
            [
                keys.session(key),
                keys.tail(key),
                keys.call(key.tenant, key.call),
                keys.SESSIONS,
                keys.outbox(partition_of(key.call)),
                keys.CLOCK,
                keys.QUIET,
                keys.finals(key),
            ],
            [self.pod, keys.member(key), VERSION, int(start is not None), int(suspect)],
            [dead.pod if dead else "", dead.epoch if dead else 0, rate_hz],
            [start.started_at_ms if start else 0, str(key.channel)],
            [keys.call_member(key.tenant, key.call), resumed.generation if resumed else 0],
            [int(goes_on), *record],
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
        if state is Claimed.ABANDONED:
            numbers = (int(fields[name]) for name in ("started_at_ms", "generation"))
            return Claim(state, abandoned=Abandoned(*numbers))
        return Claim(state, stored_of(fields), tuple(packed_steps.unpack(each) for each in tail))

    def commit(
        self,
        key: ChannelKey,
        epoch: int,
        step: Step,
        *,
        resume: Resume | None = None,
        base: int | None = None,
    ) -> Receipt:
        """Append *step* to the tail if it is the next one and the session still ours.

        Args:
            key: Whose step.
            epoch: The session's, as it was claimed.
            step: The step.
            resume: Put before it, and taken with it or not at all.
            base: Where the channel stands as *step* counts, if that is another count.
        """
        packed = packed_steps.pack(step)
        kind, seq, after, position, end_position = packed_steps.numbers(step)
        paused = isinstance(step, Gap) and step.reason == "paused"
        answer = self._run(
            "commit",
            [
                *(keys.session(key), keys.tail(key), keys.taken(key), keys.SESSIONS),
                *(keys.CLOCK, keys.call(key.tenant, key.call)),
            ],
            [epoch, kind, step.stream, seq, after, position, end_position, packed],
            [packed_steps.fingerprint(packed), keys.member(key), int(paused)],
            [packed_steps.pack(resume) if resume else "", "" if base is None else base],
            [str(key.channel), VERSION],
        )
        return Receipt(Committed(_text(answer[0])), *map(int, answer[1:]))

    def pass_edge(
        self,
        key: ChannelKey,
        epoch: int,
        edge: Edge,
        end_reason: str = "",
        park_after_s: float | None = None,
    ) -> bool:
        """Move the session on past *edge* and put its events into the outbox.

        Args:
            key: Whose edge.
            epoch: The session's, as it was claimed.
            edge: The edge.
            end_reason: Why the channel ends with it; empty if it goes on.
            park_after_s: Given to park the session, if no step came for so long.

        Returns:
            Whether the session is still this pod's, and may be parked.
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
                *(keys.SESSIONS, keys.CLOCK, keys.QUIET),
            ],
            [epoch, after.edges - 1, after.first_sample, after.edge_sample, after.index, edge.drop],
            [json.dumps(final_of(edge.utterance)) if edge.utterance else "", end_reason],
            [str(key.channel), int(edge.missing is not None), origin_text(after.origin), VERSION],
            ["" if park_after_s is None else round(park_after_s * 1000), keys.member(key)],
            [keys.call_member(key.tenant, key.call), *map(len, records), -1],
            [part for record in records for part in record],
        )
        return _text(answer) not in ("moved", "alive")

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
        return stored_of(_texts(found))

    def is_owned(self, key: ChannelKey) -> bool:
        """Tell whether a living pod owns the session."""
        with _answering():
            owner = cast("bytes | None", self._redis.hget(keys.session(key), "owner"))
            return bool(owner) and bool(self._redis.exists(keys.pod(_text(owner))))

    def keep_undecodable(self, key: ChannelKey, tail: Sequence[Step], kept: int) -> None:
        """Keep audio that killed its decoder, the last *kept* pieces of the tenant."""
        pieces = [packed_steps.pack(step) for step in tail]
        self._run("keep", [keys.undecodable(key.tenant)], [kept, keys.TOMBSTONE_EXPIRES_S], pieces)

    def tick(self) -> None:
        """Let the store's clock go on; see ``lua/tick.lua``."""
        self._run("tick", [keys.CLOCK], [_LONGEST_TICK_MS])

    def idle(self, for_s: float) -> list[ChannelKey]:
        """Return the channels that got no step for so long, and were not parked yet."""
        return [keys.of_member(name) for name in self._since(keys.SESSIONS, for_s)]

    def quiet(self, for_s: float) -> list[tuple[str, str]]:
        """Return tenant and id of the calls of which no channel was heard for so long."""
        return [keys.of_call_member(name) for name in self._since(keys.QUIET, for_s)]

    def _since(self, index: str, for_s: float) -> list[str]:
        with _answering():
            before_ms = self._clock_ms() - round(for_s * 1000)
            found = self._redis.zrangebyscore(index, "-inf", before_ms, 0, _MOST_AT_ONCE)
        return [_text(name) for name in cast("list[bytes]", found)]

    def _clock_ms(self) -> int:
        ticked = cast("bytes | None", self._redis.hget(keys.CLOCK, "ms"))
        if ticked:
            return int(ticked)
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def forget_idle(self, key: ChannelKey) -> None:
        """Look no more after a channel that is no more."""
        with _answering():
            self._redis.zrem(keys.SESSIONS, keys.member(key))

    def abandon(
        self, tenant: str, call: str, now_ms: int, *, quiet_s: float, paused_s: float
    ) -> bool:
        """Close a call as abandoned if none of its channels was heard for long enough.

        Args:
            tenant: Whose call.
            call: Its id.
            now_ms: The time.
            quiet_s: After which it is given up...
            paused_s: ...or then, if its sender said that it paused, or never sent.
        """
        facts = self._facts(tenant, call)
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.call(tenant, call), "refused")
            for key in facts.begun:
                pipe.hget(keys.session(key), "paused")
            refused, *paused = pipe.execute()
        waits = b"1" in paused or not (facts.begun or refused)
        return self._close(
            *(tenant, call, now_ms, facts, EndReason.ABANDONED),
            quiet_s=paused_s if waits else quiet_s,
            look_again_s=quiet_s,
        )

    def end_unheard(self, key: ChannelKey) -> bool:
        """End a channel of which nothing was heard; tell whether its call is known."""
        call = keys.call(key.tenant, key.call)
        channel = f"ch:{key.channel}"
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(call)
            pipe.hexists(call, "closed")
            pipe.hget(call, channel)
            pipe.hget(keys.session(key), "stream")
            known, closed, state, stream = pipe.execute()
            unheard = not stream and state in (None, AWAITED.encode(), OPEN.encode())
            if known and not closed and unheard:
                self._redis.hset(call, channel, str(EndReason.HANGUP))
        return bool(known)

    def announce(self, start: CallStart, channels: Sequence[Channel]) -> tuple[int, int]:
        """Announce a call: (1 new, 0 known, -1 closed) and when it started."""
        record = _flat(to_record(call_started(start)))
        answer = self._run(
            "announce",
            [
                keys.call(start.tenant, start.call),
                keys.outbox(partition_of(start.call)),
                *(keys.QUIET, keys.CLOCK),
            ],
            [start.started_at_ms, keys.call_member(start.tenant, start.call)],
            [keys.TOMBSTONE_EXPIRES_S, len(channels), *map(str, channels)],
            record,
        )
        return int(answer[0]), int(answer[1])

    def close(
        self,
        tenant: str,
        call: str,
        now_ms: int,
        *,
        reason: EndReason | None = None,
    ) -> bool:
        """Publish ``call.ended``, once, if no channel is open; leave the tombstone.

        An announced channel that never sent keeps the call open, unless a *reason* is given.
        """
        facts = self._facts(tenant, call)
        if facts.waits and not reason:
            return False
        return self._close(tenant, call, now_ms, facts, reason)

    def _facts(self, tenant: str, call: str) -> CallFacts:
        with _answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.call(tenant, call)))
        return CallFacts.of(tenant, call, _texts(found))

    def _close(
        self,
        tenant: str,
        call: str,
        now_ms: int,
        facts: CallFacts,
        reason: EndReason | None,
        *,
        quiet_s: float = 0,
        look_again_s: float = 0,
    ) -> bool:
        if facts.closed or facts.started_at_ms is None:
            with _answering():
                self._redis.zrem(keys.QUIET, keys.call_member(tenant, call))
            return False
        begun = facts.begun
        counted = self._count(facts, max(0, now_ms - facts.started_at_ms))
        end = CallEnd(
            tenant=tenant,
            call=call,
            started_at_ms=facts.started_at_ms,
            ended_at_ms=facts.started_at_ms + counted.length_ms,
            reason=reason or facts.reason,
            chunks=counted.chunks,
            utterances=counted.utterances,
            gaps=counted.gaps,
            generation=facts.generation,
        )
        names = [name(key) for key in begun for name in _SESSION_KEYS]
        answer = self._run(
            "close",
            [
                *(keys.call(tenant, call), keys.outbox(partition_of(call)), keys.SESSIONS),
                *(keys.QUIET, keys.CLOCK, *names),
            ],
            [now_ms, keys.TOMBSTONE_EXPIRES_S, keys.ENDED_SESSION_EXPIRES_S],
            [round(quiet_s * 1000), round(look_again_s * 1000), keys.call_member(tenant, call)],
            [len(begun), *(str(key.channel) for key in begun)],
            [keys.member(key) for key in begun],
            _flat(to_record(call_ended(end))),
        )
        return bool(answer)

    def _count(self, facts: CallFacts, waited_ms: int) -> _Counted:
        """Count over all channels; a call in which nobody was heard lasted *waited_ms*."""
        names = ("chunks", "index", "gaps")
        with _answering(), self._redis.pipeline(transaction=False) as pipe:
            for key in facts.begun:
                pipe.hgetall(keys.session(key))
            rows = [_texts(found) for found in pipe.execute()]
        heard = [stored for row in rows if (stored := stored_of(row))]
        ends_ms = [stored.timeline.ms(stored.next_position) for stored in heard]
        chunks, utterances, gaps = (sum(int(row.get(name, 0)) for row in rows) for name in names)
        return _Counted(chunks, utterances, gaps, max(ends_ms, default=waited_ms))

    def channels(self, tenant: str, call: str) -> list[ChannelKey]:
        """Return the channels of a call that have not ended: open, or announced."""
        states = self._facts(tenant, call).states
        return [key for key, state in states.items() if state in (OPEN, AWAITED)]

    def alias(
        self, tenant: str, name: str, call: str, expires_s: int, *, anew: bool = False
    ) -> str:
        """Return the call *name* stands for, *call* if for none or *anew*; lives on from now."""
        return _text(self._run("alias", [keys.alias(tenant, name)], [call, expires_s, int(anew)]))

    def renew(self, facts: Mapping[str, str | int]) -> None:
        """Renew this pod's lease and show its *facts*."""
        self._run(
            "renew",
            [keys.pod(self.pod), keys.PODS],
            [self.pod, keys.POD_LEASE_MS, *chain(*facts.items())],
        )

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
