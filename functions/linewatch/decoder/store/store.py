"""Sessions in Redis: every change of a session is one fenced script.

The epoch of a session is its fencing token: a pod that lost a session is refused
at its next write. See ``lua/`` for the scripts and `linewatch.keys` for the keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from linewatch import keys
from linewatch.calls import CallResumed, CallStart, ChannelKey, Gap, Resume, Step
from linewatch.decoder.recognition.session import Edge
from linewatch.decoder.store import packed_steps
from linewatch.decoder.store.access import answering, pairs, text, texts
from linewatch.decoder.store.answers import (
    Abandoned,
    Claim,
    Claimed,
    Committed,
    Owner,
    Receipt,
    Stored,
    final_of,
    origin_text,
    stored_of,
)
from linewatch.decoder.store.calls import Calls
from linewatch.decoder.store.pods import Pods
from linewatch.decoder.store.scripts import flat
from linewatch.errors import NewerCheckpoint
from linewatch.events import (
    call_gap,
    call_resumed,
    call_started,
    partition_of,
    to_record,
    utterance_final,
)

#: What a checkpoint of this code looks like; a newer one is refused, never guessed at.
VERSION: Final = 2
#: A tick counts so much at the most: a store that was away, or a clock that was set, is no time
#: in which a sender was silent.
_LONGEST_TICK_MS: Final = 3000


class Store(Calls, Pods):
    """All that a decoder keeps in Redis: sessions here, calls and pods in their own modules."""

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
        record = flat(to_record(call_started(start))) if start else []
        if resumed:
            record = flat(to_record(call_resumed(resumed)))
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
        return self._claim(Claimed(text(answer[0])), pairs(answer[1]), answer[2])

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
        return Receipt(Committed(text(answer[0])), *map(int, answer[1:]))

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
        records = [flat(to_record(event)) for event in events]
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
        return text(answer) not in ("moved", "alive")

    def prove(self, key: ChannelKey, epoch: int) -> None:
        """Note that the session's tail was decoded without killing anybody."""
        self._run("own", [keys.session(key)], [epoch, "attempts", 0])

    def release(self, key: ChannelKey, epoch: int) -> None:
        """Give the session up: the next pod that gets a step of it adopts it."""
        self._run("own", [keys.session(key)], [epoch, "owner", ""])

    def finals(self, key: ChannelKey, after: int) -> list[dict[str, Any]]:
        """Return the last finals whose first sample lies after *after*."""
        with answering():
            found = cast("list[bytes]", self._redis.lrange(keys.finals(key), 0, -1))
        read = (json.loads(each) for each in found)
        return [final for final in read if final["first_sample"] > after]

    def peek(self, key: ChannelKey) -> Stored | None:
        """Return the session without touching it."""
        with answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.session(key)))
        return stored_of(texts(found))

    def is_owned(self, key: ChannelKey) -> bool:
        """Tell whether a living pod owns the session."""
        with answering():
            owner = cast("bytes | None", self._redis.hget(keys.session(key), "owner"))
            return bool(owner) and bool(self._redis.exists(keys.pod(text(owner))))

    def keep_undecodable(self, key: ChannelKey, tail: Sequence[Step], kept: int) -> None:
        """Keep audio that killed its decoder, the last *kept* pieces of the tenant."""
        pieces = [packed_steps.pack(step) for step in tail]
        self._run("keep", [keys.undecodable(key.tenant)], [kept, keys.TOMBSTONE_EXPIRES_S], pieces)

    def tick(self) -> None:
        """Let the store's clock go on; see ``lua/tick.lua``."""
        self._run("tick", [keys.CLOCK], [_LONGEST_TICK_MS])

    def idle(self, for_s: float) -> list[ChannelKey]:
        """Return the channels that got no step for so long, and were not parked yet."""
        return keys.of_members(self._since(keys.SESSIONS, for_s))

    def forget_idle(self, key: ChannelKey) -> None:
        """Look no more after a channel that is no more."""
        with answering():
            self._redis.zrem(keys.SESSIONS, keys.member(key))
