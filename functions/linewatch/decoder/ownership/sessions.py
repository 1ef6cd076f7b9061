"""The sessions this pod owns: taking steps, adopting, giving up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NoReturn
from weakref import WeakValueDictionary

from linewatch import payloads
from linewatch.calls import CallResumed, CallStart, ChannelKey, Chunk, End, Gap, Resume, Step
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.ownership.live import Live, Outcome, SessionDecoder
from linewatch.decoder.store.answers import (
    Abandoned,
    Claim,
    Claimed,
    Committed,
    Owner,
    Receipt,
    Stored,
)
from linewatch.decoder.store.store import Store
from linewatch.errors import (
    BadChunk,
    CallEnded,
    NotFound,
    OwnerBusy,
    PositionConflict,
    SequenceConflict,
    SequenceGap,
    SessionMoved,
    StoreUnavailable,
    StreamReplaced,
)

log = logging.getLogger(__name__)

#: A tail that killed so many decoders is not decoded again.
POISON_ATTEMPTS: Final = 3
LOCK_WAIT_S: Final = 1.5
#: Answers that leave a session as it was.
_REFUSALS: Final = (SequenceGap, SequenceConflict, PositionConflict, StreamReplaced)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a sender is told."""

    next_seq: int
    next_position: int
    partial: str = ""
    finals: list[dict[str, Any]] = field(default_factory=list)


class Sessions:
    """Takes steps for the sessions it owns and adopts those whose owner is gone.

    Args:
        store: Where sessions are kept.
        decoding: What decodes.
        metrics: Counted into.
        now_ms: The time; only tombstones carry it.
        keep_undecodable: Pieces of audio kept that killed a decoder; 0 keeps none.
    """

    def __init__(
        self,
        store: Store,
        decoding: SessionDecoder,
        metrics: Metrics,
        now_ms: Callable[[], int],
        keep_undecodable: int = 0,
    ) -> None:
        self._store = store
        self._decoding = decoding
        self._metrics = metrics
        self._now_ms = now_ms
        self._keep_undecodable = keep_undecodable
        self._live: dict[ChannelKey, Live] = {}
        self._partials: dict[ChannelKey, str] = {}
        self._given_up: set[ChannelKey] = set()
        self._locks: WeakValueDictionary[ChannelKey, Any] = WeakValueDictionary()
        self._guard = threading.Lock()
        self._suspects = threading.Lock()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, key: ChannelKey) -> bool:
        return key in self._live

    def take(
        self,
        key: ChannelKey,
        step: Step,
        *,
        after: int | None = None,
        start: CallStart | None = None,
        dead: Owner | None = None,
    ) -> Reply | Owner:
        """Commit *step*, decode it and answer.

        Args:
            key: Whose step.
            step: The step; a chunk makes the session where *start* is given.
            after: First sample of the last final the sender has; none: only this step's.
            start: What is known of the call where its session may be made here.
            dead: An owner found unreachable.

        Returns:
            The reply, or the living owner to forward to.

        Raises:
            LinewatchError: the step was not taken; the error says what to do.
        """
        with self._locked(key):
            live = self._copy(key, step) or self._claim(key, step, start, dead)
            if isinstance(live, Owner):
                return live
            return self._take(live, step, after)

    def park(self, key: ChannelKey, after_s: float) -> None:
        """Publish what was said on a silent channel and free its memory; it may go on any time.

        Not one that another living pod owns, or that got a step within *after_s*.
        """
        with self._locked(key):
            live = self._copy(key, None) or self._claim(key, None, None, None)
            if isinstance(live, Owner):
                return
            try:
                self._park(live, after_s)
            finally:
                self._forget(live)

    def _park(self, live: Live, after_s: float) -> None:
        if live.ended:
            # An end that its owner took and did not hear: heard now, it may close the call.
            self._store.close(live.key.tenant, live.key.call, self._now_ms())
        elif self._decoding.park(live, after_s):
            self._metrics.parked.inc()

    def is_owned(self, key: ChannelKey) -> bool:
        """Tell whether a living pod owns the session."""
        return self._store.is_owned(key)

    def ask_for_release(self, excess: int) -> None:
        """Give up *excess* sessions, each at its next edge: those that moved least so far."""
        least_moved = sorted(self._live.values(), key=lambda live: live.epoch)
        for number, live in enumerate(least_moved):
            live.release = number < excess

    def has_given_up(self, key: ChannelKey) -> bool:
        """Tell whether this pod gave the session up lately, so that another should take it."""
        return key in self._given_up

    def relent(self, key: ChannelKey) -> None:
        """Take the session again if it comes, though this pod gave it up."""
        self._given_up.discard(key)

    def forget_given_up(self) -> None:
        """Take again what was given up."""
        self._given_up.clear()

    def drop_lost(self) -> None:
        """Drop the copies of what other pods took over while this one stood still.

        Nobody brings it another step of theirs, so it would never learn, and seem full.
        """
        for live in list(self._live.values()):
            stored = self._store.peek(live.key)
            if stored is None or stored.epoch != live.epoch or stored.ended:
                with self._locked(live.key):
                    self._drop(live)

    def take_partials(self) -> dict[ChannelKey, str]:
        """Return the partial hypotheses that changed since the last call."""
        changed: dict[ChannelKey, str] = {}
        while self._partials:  # One by one: other threads add to it meanwhile.
            changed.update([self._partials.popitem()])
        return changed

    # -- a step -----------------------------------------------------------------------

    def _take(self, live: Live, step: Step, after: int | None) -> Reply:
        is_other_rate = isinstance(step, Chunk) and step.rate_hz != live.session.rate_hz
        if is_other_rate and step.stream == live.stream:
            rate = f"this stream runs at {live.session.rate_hz} Hz"
            raise BadChunk(f"{rate}: keep to it, or begin another stream")
        if isinstance(step, Gap):
            payloads.check_position(step.position, live.session.rate_hz)
        try:
            return self._answer(live, step, after)
        except _REFUSALS:
            raise
        except BaseException:
            # The store may be ahead of this copy: the next step replays from there.
            if live.unheard is None:
                self._forget(live)
            raise

    def _copy(self, key: ChannelKey, step: Step | None) -> Live | None:
        """Return this pod's copy; not one that may lack another step than *step*."""
        live = self._live.get(key)
        if live and live.unheard not in (None, step):
            self._forget(live)
            return None
        return live

    def _answer(self, live: Live, step: Step, after: int | None) -> Reply:
        resent, live.unheard = live.unheard is not None, None
        resume = live.resume(step)
        receipt = self._commit(live, step, resume)
        if resent and receipt.state is Committed.DUPLICATE:
            # It was taken the first time, when no answer came: nobody heard it yet.
            receipt = replace(receipt, state=Committed.ACCEPTED, before=live.next_seq)
        outcome = self._outcome(live, [resume, step] if resume else [step], receipt)
        finals = outcome.finals
        if after is not None and (live.last_final is None or live.last_final > after):
            finals = self._finals(live, after)
        self._settle(live, step, outcome)
        return Reply(receipt.next_seq, receipt.next_position, live.partial, finals)

    def _commit(self, live: Live, step: Step, resume: Resume | None) -> Receipt:
        base = live.base(step, resume)
        try:
            with self._metrics.commit_s.time():
                return self._store.commit(live.key, live.epoch, step, resume=resume, base=base)
        except StoreUnavailable:
            # Taken or not, its sender sends it again: no need to replay the whole tail.
            if live.lacks(step) and not isinstance(step, End) and not resume:
                live.unheard = step
            raise

    def _outcome(self, live: Live, steps: list[Step], receipt: Receipt) -> Outcome:
        if receipt.state is Committed.DUPLICATE:
            return Outcome()
        if receipt.state is not Committed.ACCEPTED:
            self._refuse(live, receipt)
        if receipt.before != live.next_seq:
            # Redis failed over and rewound: this copy is not what the tail holds.
            raise SessionMoved("the call was taken back a little: send again")
        self._metrics.steps.inc()
        live.go_on(steps[-1].stream, receipt.next_seq)
        self._hold(live)
        spoken = live.partial
        outcome = self._decoding.hear(live, steps)
        if live.partial != spoken:
            self._partials[live.key] = live.partial
        return outcome

    def _finals(self, live: Live, after: int) -> list[dict[str, Any]]:
        finals = self._store.finals(live.key, after)
        live.last_final = finals[-1]["first_sample"] if finals else after
        return finals

    def _settle(self, live: Live, step: Step, outcome: Outcome) -> None:
        """Close an ended call, give up a session that was asked for."""
        if isinstance(step, End):
            self._store.close(live.key.tenant, live.key.call, self._now_ms())
            self._forget(live)
        elif live.release and outcome.edges:
            self._store.release(live.key, live.epoch)
            self._metrics.releases.inc()
            self._given_up.add(live.key)
            self._forget(live)

    def _refuse(self, live: Live, receipt: Receipt) -> NoReturn:
        state = {"next_seq": receipt.next_seq, "next_position": receipt.next_position}
        match receipt.state:
            case Committed.GAP:
                if receipt.next_seq < live.next_seq:
                    # Redis failed over and rewound: this copy heard more than the store holds.
                    self._forget(live)
                raise SequenceGap("send from next_seq on, or state a gap", **state)
            case Committed.CONFLICT:
                raise SequenceConflict("this seq was taken with other bytes", **state)
            case Committed.POSITION:
                raise PositionConflict("audio up to next_position was heard already", **state)
            case Committed.REPLACED:
                raise StreamReplaced("another sender took this channel over: stop", **state)
            case Committed.ENDED:
                raise CallEnded("this channel has ended: a new call needs a new id")
            case _:
                raise SessionMoved("another pod took the call over: send again")

    # -- ownership --------------------------------------------------------------------

    def _claim(
        self, key: ChannelKey, step: Step | None, start: CallStart | None, dead: Owner | None
    ) -> Live | Owner:
        goes_on = isinstance(step, Chunk | Gap)
        rate_hz = step.rate_hz if isinstance(step, Chunk) else 0
        ask = partial(self._store.claim, key, start, rate_hz=rate_hz, dead=dead, goes_on=goes_on)
        claim = ask()
        if claim.abandoned and goes_on:
            ask = partial(ask, resumed=self._resumed(key, claim.abandoned))
            claim = ask()
        if claim.state is Claimed.SUSPECT:
            # Its tail may have killed its owner: replay such tails one by one, so that
            # only the one that really does is counted.
            with self._suspects:
                return self._own(key, ask(suspect=True), repeats_end=isinstance(step, End))
        return self._own(key, claim, repeats_end=isinstance(step, End))

    def _resumed(self, key: ChannelKey, call: Abandoned) -> CallResumed:
        log.info("a call comes back that was given up: call=%s", key.call)
        return CallResumed(
            key.tenant, key.call, call.started_at_ms, self._now_ms(), call.generation + 1
        )

    def _own(self, key: ChannelKey, claim: Claim, *, repeats_end: bool = False) -> Live | Owner:
        if claim.owner:
            return claim.owner
        is_over = claim.state in {Claimed.CLOSED, Claimed.ABANDONED}
        if is_over and not (repeats_end and claim.stored):
            raise CallEnded("this call has ended: a new call needs a new id")
        if claim.stored is None:
            raise NotFound("this channel is not known: send its audio first")
        live = self._restored(key, claim, claim.stored)
        self._given_up.discard(key)
        if not live.ended:
            self._hold(live)
        return live

    def _hold(self, live: Live) -> None:
        if self._live.get(live.key) is not live:
            self._live[live.key] = live
            self._metrics.sessions.set(len(self._live))

    def _restored(self, key: ChannelKey, claim: Claim, stored: Stored) -> Live:
        if stored.attempts >= POISON_ATTEMPTS:
            log.error("a tail killed %d decoders and is skipped", stored.attempts)
            self._metrics.undecodable.inc()
            if self._keep_undecodable and claim.tail:
                self._store.keep_undecodable(key, claim.tail, self._keep_undecodable)
            return self._decoding.skip(key, stored, claim.tail)
        live = self._decoding.restore(key, stored, claim.tail)
        if stored.attempts:
            self._metrics.adoptions.inc()
            self._store.prove(key, live.epoch)
        return live

    def _forget(self, live: Live) -> None:
        self._drop(live)
        self._partials[live.key] = ""

    def _drop(self, live: Live) -> None:
        if self._live.get(live.key) is live:
            del self._live[live.key]
        self._metrics.sessions.set(len(self._live))

    @contextmanager
    def _locked(self, key: ChannelKey) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=LOCK_WAIT_S):
            raise OwnerBusy("an earlier step of this channel is still being decoded: send again")
        try:
            yield
        finally:
            lock.release()
