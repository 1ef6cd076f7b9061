"""Calls in Redis: announced, closed once, given up when nobody came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from linewatch import keys
from linewatch.calls import CallEnd, CallStart, CallUpdate, Channel, ChannelKey, EndReason
from linewatch.decoder.store import announcement
from linewatch.decoder.store.access import Access, answering, text, texts
from linewatch.decoder.store.answers import AWAITED, OPEN, CallFacts, stored_of
from linewatch.decoder.store.scripts import flat
from linewatch.events import call_ended, partition_of, to_record

_SESSION_KEYS: Final = (keys.session, keys.tail, keys.taken, keys.finals)


class _Counted(NamedTuple):
    """What was counted over all channels of a call."""

    chunks: int
    utterances: int
    gaps: int
    length_ms: int


class Calls(Access):
    """What is known of whole calls."""

    def announce(
        self,
        start: CallStart,
        channels: Sequence[Channel],
        update: CallUpdate | None = None,
        *,
        is_dated: bool = False,
    ) -> tuple[int, int]:
        """Announce a call, or tell the *update* of one that is known, if that is news.

        Returns:
            1 new, 0 known or -1 closed, and when the call started.
        """
        names = [keys.call(start.tenant, start.call), keys.outbox(partition_of(start.call))]
        parts = announcement.parts(start, channels, update, is_dated=is_dated)
        answer = self._run("announce", [*names, keys.QUIET, keys.CLOCK], parts)
        return int(answer[0]), int(answer[1])

    def is_known(self, tenant: str, call: str) -> bool:
        """Tell whether a call was announced or heard, and is not long over."""
        with answering():
            return bool(self._redis.exists(keys.call(tenant, call)))

    def channels(self, tenant: str, call: str) -> list[ChannelKey]:
        """Return the channels of a call that have not ended: open, or announced."""
        states = self._facts(tenant, call).states
        return [key for key, state in states.items() if state in (OPEN, AWAITED)]

    def end_unheard(self, key: ChannelKey) -> bool:
        """End a channel of which nothing was heard; tell whether its call is known."""
        call = keys.call(key.tenant, key.call)
        channel = f"ch:{key.channel}"
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(call)
            pipe.hexists(call, "closed")
            pipe.hget(call, channel)
            pipe.hget(keys.session(key), "stream")
            known, closed, state, stream = pipe.execute()
            unheard = not stream and state in (None, AWAITED.encode(), OPEN.encode())
            if known and not closed and unheard:
                self._redis.hset(call, channel, str(EndReason.HANGUP))
        return bool(known)

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

    def quiet(self, for_s: float) -> list[tuple[str, str]]:
        """Return tenant and id of the calls of which no channel was heard for so long."""
        return [keys.of_call_member(name) for name in self._since(keys.QUIET, for_s)]

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
        with answering(), self._redis.pipeline(transaction=False) as pipe:
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

    def _facts(self, tenant: str, call: str) -> CallFacts:
        with answering():
            found = cast("dict[bytes, bytes]", self._redis.hgetall(keys.call(tenant, call)))
        return CallFacts.of(tenant, call, texts(found))

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
        if facts.is_foreign:
            return False
        if facts.closed or facts.started_at_ms is None:
            with answering():
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
            flat(to_record(call_ended(end))),
        )
        return bool(answer)

    def _count(self, facts: CallFacts, waited_ms: int) -> _Counted:
        """Count over all channels; a call in which nobody was heard lasted *waited_ms*."""
        names = ("chunks", "index", "gaps")
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for key in facts.begun:
                pipe.hgetall(keys.session(key))
            rows = [texts(found) for found in pipe.execute()]
        heard = [stored for row in rows if (stored := stored_of(row))]
        ends_ms = [stored.timeline.ms(stored.next_position) for stored in heard]
        chunks, utterances, gaps = (sum(int(row.get(name, 0)) for row in rows) for name in names)
        return _Counted(chunks, utterances, gaps, max(ends_ms, default=waited_ms))

    def alias(
        self, tenant: str, name: str, call: str, expires_s: int, *, anew: bool = False
    ) -> str:
        """Return the call *name* stands for, *call* if for none or *anew*; lives on from now."""
        return text(self._run("alias", [keys.alias(tenant, name)], [call, expires_s, int(anew)]))
