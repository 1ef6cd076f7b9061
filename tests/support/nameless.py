"""The board where no name is ever resolved, as gunicorn serves it: behind a DNS that hangs."""

from __future__ import annotations

import socket
import threading

from linewatch.board import app


def create():
    """Return the board's application; whoever asks for a name waits for ever."""
    socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
    return app.create()
