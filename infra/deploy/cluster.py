"""The cluster as the deployment sees it: applied to, waited for, taken from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from infra.deploy import diagnosis, readiness
from infra.deploy.diagnosis import Waiting
from infra.deploy.kubectl import CommandFailed, Kubectl
from infra.deploy.progress import Progress
from infra.manifests.objects import Object, kubectl_kind, title
from linewatch.errors import LinewatchError

_EVERY_S: Final = 2.0
#: Before another try where a webhook does not answer, as while its pod moves.
_PAUSES_S: Final = (5.0, 10.0, 0.0)
_WEBHOOK: Final = "failed calling webhook"


class NotReady(LinewatchError):
    """Something does not get Ready; *detail* is the one condition to mend and what to do."""


class Cluster:
    """Applies objects and waits for them, until a deadline.

    Args:
        kubectl: The way there, in the namespace of the objects.
        progress: Shows what is waited for.
        timeout_s: How long all waiting together may take.
        clock: Seconds of a clock that only goes on.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        progress: Progress,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.kubectl = kubectl
        self._progress = progress
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self._began_s = clock()
        # A Job may be gone a minute after it ended.
        self._done: set[str] = set()

    def apply(self, objects: Sequence[Object]) -> None:
        """Make *objects* as they are wanted; a Job is made anew, for none can be changed."""
        jobs = [title(each) for each in objects if kubectl_kind(each) == "job"]
        if jobs:
            self.kubectl.text("delete", "--ignore-not-found", *jobs)
        for pause_s in _PAUSES_S:
            try:
                self.kubectl.apply(objects)
            except CommandFailed as error:
                if _WEBHOOK not in error.detail or not pause_s:
                    raise
                self._sleep(pause_s)
            else:
                return

    def wait(self, objects: Sequence[Object]) -> None:
        """Wait until *objects* are Ready.

        Raises:
            NotReady: one will not be, or the time is up.
        """
        while True:
            waiting = self._look(objects)
            if not waiting:
                return
            self._progress.waits(waiting, self._elapsed_s())
            self._sleep(_EVERY_S)

    def _look(self, objects: Sequence[Object]) -> list[str]:
        """Return what is not Ready; an API server that is away for a moment is waited for too."""
        try:
            waiting = list(self._waiting(objects))
            failed = diagnosis.of_failed(waiting)
            if failed or (waiting and self._is_over()):
                raise NotReady(diagnosis.condition(self.kubectl, failed or waiting))
        except CommandFailed as error:
            if self._is_over():
                raise NotReady(error.detail) from error
            return [error.detail]
        return [str(each) for each in waiting]

    def _waiting(self, objects: Sequence[Object]) -> Iterator[Waiting]:
        live = {title(each): each for each in self.kubectl.live(objects)}
        for wanted in objects:
            found = live.get(title(wanted))
            lack = readiness.lack(wanted, found)
            if kubectl_kind(wanted) == "job" and not lack:
                self._done.add(title(wanted))
            if lack and title(wanted) not in self._done:
                yield Waiting(wanted, found, lack)

    def _elapsed_s(self) -> int:
        return round(self._clock() - self._began_s)

    def _is_over(self) -> bool:
        return self._elapsed_s() > self._timeout_s

    def wait_until(self, over: Callable[[], Sequence[str]]) -> None:
        """Wait until *over* names nothing more.

        Raises:
            NotReady: the time is up.
        """
        while True:
            left = over()
            if not left:
                return
            if self._is_over():
                raise NotReady(f"still there: {', '.join(left)}; run the same command again")
            self._progress.waits(left, self._elapsed_s())
            self._sleep(_EVERY_S)
