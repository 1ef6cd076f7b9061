"""Ports of loopback: the usual one, or a free one where that is taken."""

from __future__ import annotations

import socket
from collections.abc import Collection

from infra.launcher.redis_server import free_port
from linewatch.errors import SettingsError


def can_listen(port: int) -> bool:
    """Tell whether a server could listen on *port* of loopback now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(wanted: int, taken: Collection[int] = (), *, demanded_by: str = "") -> int:
    """Return *wanted* if it is free, else another port.

    *taken* are ports already given away. *demanded_by* names the setting that
    asks for this port and no other.

    Raises:
        SettingsError: the port was demanded and is taken.
    """
    if wanted not in taken and can_listen(wanted):
        return wanted
    if demanded_by:
        raise SettingsError(
            f"{demanded_by}={wanted}: the port is taken; choose another or unset it"
        )
    port = free_port()
    while port in taken:
        port = free_port()
    return port
