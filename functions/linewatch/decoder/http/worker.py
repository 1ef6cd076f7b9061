"""gunicorn's worker for a decoder: it leaves in the way a pod does whose calls others adopt."""

from __future__ import annotations

from typing import Any

from linewatch.serving.worker import Worker as Served


class Worker(Served):
    """Serves a decoder's requests, and says at once that it ends."""

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's hook
        """Leave at once when told to end: close the socket, and let the pod say that it goes.

        gunicorn's own keeps the listening socket until the last request is answered: whoever
        connects meanwhile would wait in vain, and the lease would tell others to do so. Kept
        connections are answered for two more seconds. A session that is adopted while its step
        is decoded here has a new epoch: this worker's utterance is refused, its sender is told
        to send again.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()
            self.service.pod.stop()

    @property
    def service(self) -> Any:  # noqa: ANN401 - none until the application was made
        """The decoder's service; none where the application was never made."""
        return getattr(getattr(self, "wsgi", None), "extensions", {}).get("linewatch")
