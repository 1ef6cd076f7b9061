"""How gunicorn serves all but decoders: ``-c python:linewatch.serving.gunicorn_conf``.

One worker, because a function's state is in Redis and it scales by processes; eight threads,
because an event is mostly CPU or a wait for the sink.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

#: The variable that names the process without which this one shall not live.
PARENT = "ACTIVATOR_PID"
_PR_SET_PDEATHSIG = 1

worker_class = "linewatch.serving.worker.Worker"
workers = 1
threads = 8
# Longer than any caller, the queue-proxy's pool too, leaves a connection idle.
keepalive = 300
graceful_timeout = 10
control_socket_disable = True
loglevel = "warning"


def on_starting(_: Any) -> None:  # noqa: ANN401 - gunicorn's arbiter, which has no types
    """Under an activator, let the kernel end this process when that dies, however it dies."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent != str(os.getppid()):
        sys.exit("the activator is gone")
