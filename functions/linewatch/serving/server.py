"""The HTTP server of a role that is a program of its own: gunicorn, one process, many threads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from linewatch.serving import gunicorn_conf


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
            "threads": threads,
            "worker_exit": lambda _server, _worker: on_exit(),
        }
        super().__init__()

    def load_config(self) -> None:
        """Take our options, and none from files or the environment."""
        for name in self.cfg.settings:
            if hasattr(gunicorn_conf, name):
                self.cfg.set(name, getattr(gunicorn_conf, name))
        for name, chosen in self._options.items():
            self.cfg.set(name, chosen)

    def load(self) -> Any:  # noqa: ANN401 - any WSGI app
        """Make the app, in the worker."""
        return self._create()


def log_to_stderr() -> None:
    """Write one line an event."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
