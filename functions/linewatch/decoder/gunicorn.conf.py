# ruff: noqa: N999 - gunicorn's name for it
"""How gunicorn runs a decoder: one worker, because a call is pinned to a process, and threads."""

from __future__ import annotations

import os
import sys
from typing import Any

from linewatch.decoder.settings import DecoderSettings
from linewatch.errors import SettingsError
from linewatch.settings import check_bind, host_port, load

try:
    _settings = load(DecoderSettings, os.environ)
    check_bind(_settings.bind, _settings.tokens, _settings.tokens_file)
except SettingsError as error:
    print(f"decoder: {error.detail}", file=sys.stderr)  # noqa: T201 - the one clear line
    sys.exit(2)

bind = host_port(_settings.bind, _settings.port)
worker_class = "linewatch.decoder.http.worker.Worker"
workers = 1
threads = _settings.threads
# Longer than any pause between two chunks of a call, so that connections are kept.
keepalive = 75
graceful_timeout = 10
# A hung decode is the watchdog's business; a threaded worker's heart beats beside it.
timeout = 60
control_socket_disable = True


def on_starting(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Refuse a second worker: half of a call's chunks would reach the wrong one."""
    if server.cfg.workers != 1:
        print("decoder: run one worker; scale by pods", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    if server.cfg.is_ssl:
        print("decoder: TLS ends at the ingress: leave --certfile out", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ANN401, ARG001 - gunicorn's hook
    """Drop the pod's lease once the last request is answered."""
    if worker.service:
        worker.service.stop()
