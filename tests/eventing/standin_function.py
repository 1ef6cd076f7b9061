"""A tiny function that gunicorn serves in the tests of the activator.

The environment says how it starts: WARM_S until it is ready, BROKEN to fail.
"""

from __future__ import annotations

import json
import os
import signal
import time


def create():
    """Return the WSGI app, or fail to."""
    if os.environ.get("BROKEN"):
        raise RuntimeError("broken on purpose")
    ready_at_s = time.monotonic() + float(os.environ.get("WARM_S", "0"))

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, headers, answer = "200 OK", [("X-Path", path)], body
        if path == "/health/readiness" and time.monotonic() < ready_at_s:
            status = "503 Service Unavailable"
        elif path == "/env":
            answer = json.dumps({**dict(os.environ), "ppid": str(os.getppid())}).encode()
        elif path == "/seen":
            seen = {name: text for name, text in environ.items() if isinstance(text, str)}
            answer = json.dumps(seen).encode()
        elif path == "/sleep":
            time.sleep(float(body))
        elif path == "/refuse":
            status = "422 Unprocessable Entity"
            headers.append(("kne-reason", "bad"))
        elif path == "/die":
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        start_response(status, headers)
        return [answer]

    return app
