"""The HTTP server of the sink and the activator: gunicorn, one process, many threads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """Serves one WSGI app until SIGTERM; *on_exit* runs in its worker at the end."""

    def __init__(
        self,
        create: Callable[[], Any],
        bind: str,
        threads: int,
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        self._create = create
        self._options: dict[str, Any] = {
            "bind": bind,
            "worker_class": "linewatch.serving.worker.Worker",
            "workers": 1,
            "threads": threads,
            # Longer than any caller keeps an idle connection, so none is closed in its hands.
            "keepalive": 300,
            "graceful_timeout": 10,
            "control_socket_disable": True,
            "worker_exit": lambda _server, _worker: on_exit(),
            "loglevel": "warning",
        }
        super().__init__()

    def load_config(self) -> None:
        """Take our options, and none from files or the environment."""
        for name, chosen in self._options.items():
            self.cfg.set(name, chosen)

    def load(self) -> Any:  # noqa: ANN401 - any WSGI app
        """Make the app, in the worker."""
        return self._create()


def log_to_stderr() -> None:
    """Write one line an event."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
