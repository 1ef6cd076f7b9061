"""How the launcher sees that a process is ready."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_PATIENCE_S: Final = 0.5
_REDIS_PORT: Final = 6379
_SUCCESS: Final = 2

Probe = Callable[[], bool]


def answers(port: int, path: str) -> Probe:
    """Make a probe: loopback's *port* answers a GET of *path* with 2xx."""

    def probe() -> bool:
        caller = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        try:
            caller.request("GET", path)
            return caller.getresponse().status // 100 == _SUCCESS
        except (OSError, http.client.HTTPException):
            return False
        finally:
            caller.close()

    return probe


def redis_serves(url: str) -> Probe:
    """Make a probe: the Redis at *url* has loaded its data and serves."""
    return lambda: redis_says(url, "PING") == "+PONG"


def redis_has(url: str, key: str) -> Probe:
    """Make a probe: the Redis at *url* holds *key*."""
    return lambda: redis_says(url, f"EXISTS {key}") == ":1"


def redis_says(url: str, request: str) -> str:
    """Return the first line of the answer of the Redis at *url* to *request*, "" if none comes."""
    address = urlsplit(url)
    database = address.path.strip("/") if address.scheme != "unix" else ""
    lines = [_login(address), f"SELECT {database or 0}", request]
    sent = [line for line in lines if line]
    try:
        with _connect(address) as caller, caller.makefile("rw", newline="\r\n") as talk:
            talk.write("".join(f"{line}\r\n" for line in sent))
            talk.flush()
            return [talk.readline().strip() for _ in sent][-1]
    except OSError:
        return ""


def _connect(address: SplitResult) -> socket.socket:
    if address.scheme == "unix":
        return _connect_unix(address.path)
    host = address.hostname or "127.0.0.1"
    caller = socket.create_connection((host, address.port or _REDIS_PORT), timeout=_PATIENCE_S)
    if address.scheme == "rediss":
        return ssl.create_default_context().wrap_socket(caller, server_hostname=host)
    return caller


def _connect_unix(path: str) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(_PATIENCE_S)
    try:
        caller.connect(path)
    except OSError:
        caller.close()
        raise
    return caller


def _login(address: SplitResult) -> str:
    if address.password is None:
        return ""
    return " ".join(
        filter(None, ["AUTH", unquote(address.username or ""), unquote(address.password)])
    )
