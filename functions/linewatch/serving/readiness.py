"""Whether a store answers, for probes: asked within a bounded time, and by few threads.

A store's own time-outs do not bound how long its name is looked up. Probes that wait for that
would in time hold every thread of a service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from linewatch.errors import StoreUnavailable, Unavailable
from linewatch.serving.breaker import Breaker

#: Below the second after which Kubernetes gives a probe up, where nobody says otherwise.
PATIENCE_S: Final = 0.9


class Readiness:
    """Asks *ask*, which raises `Unavailable`, for as many probes as come.

    While the store stands still one of them waits, for *patience_s* at most; the others learn
    it at once.
    """

    def __init__(self, ask: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
        self._ask = ask
        self._patience_s = patience_s
        self._breaker = Breaker(Unavailable)
        self._guard = threading.Lock()
        self._answer: Future[None] | None = None

    def check(self) -> None:
        """Return if the store answers.

        Raises:
            Unavailable: it does not, or not in time, or another probe waits for it already.
        """
        with self._breaker.asking():
            try:
                self._pending().result(self._patience_s)
            except TimeoutError:
                late = f"the store did not answer within {self._patience_s} s: ask again"
                raise StoreUnavailable(late) from None

    def _pending(self) -> Future[None]:
        """Return the answer that the store owes; it is asked if it owes none."""
        with self._guard:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                # A daemon: the process ends while the store's name is still looked up.
                threading.Thread(target=self._put, args=(self._answer,), daemon=True).start()
            return self._answer

    def _put(self, answer: Future[None]) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - raised again by the probes that wait
            answer.set_exception(error)
        else:
            answer.set_result(None)
