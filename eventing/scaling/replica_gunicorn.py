"""How gunicorn runs a function under the activator; read by ``gunicorn -c``.

One worker, since a function's state is in Redis and its memory is not shared;
keep-alive is longer than the activator ever leaves a connection idle.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

PARENT = "ACTIVATOR_PID"
_PR_SET_PDEATHSIG = 1

worker_class = "linewatch.serving.worker.Worker"
workers = 1
threads = 8
keepalive = 300
graceful_timeout = 10
control_socket_disable = True
loglevel = "warning"


def on_starting(_: Any) -> None:  # noqa: ANN401 - gunicorn's arbiter, which has no types
    """Let the kernel end this process when the activator dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        sys.exit("the activator is gone")
