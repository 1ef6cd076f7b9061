"""The store's scripts, each run by Redis in one piece; see ``lua/``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redis import ConnectionError as Lost
from redis import Redis
from redis.exceptions import NoScriptError

NAMES: Final = ("claim", "commit", "edge", "close", "announce", "own")
Part = str | bytes | int
_LUA: Final = Path(__file__).with_name("lua")


class Scripts:
    """Runs scripts on a connection that each thread keeps.

    The client's own pool, its retries and what it records of itself would cost a chunk
    more than its commit does. *known* holds the scripts by their names.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self.known = {
            name: client.register_script((_LUA / f"{name}.lua").read_text()) for name in NAMES
        }
        self._kept = threading.local()

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Part]) -> Any:  # noqa: ANN401 - whatever the script answers
        """Return what the script *name* answers.

        Raises:
            redis.RedisError: Redis did not answer, or refused.
        """
        script = self.known[name]
        connection = self._connection()
        try:
            connection.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            return connection.read_response()
        except NoScriptError:
            # Redis began anew: the client's own way teaches it the script.
            return script(keys=list(keys), args=list(arguments))

    def _connection(self) -> Any:  # noqa: ANN401 - redis-py has several kinds
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = self._pool.make_connection()
        connection.connect()
        if _is_stale(connection):
            connection.disconnect()
            connection.connect()
        return connection


def _is_stale(connection: Any) -> bool:  # noqa: ANN401 - see above
    """Tell whether there is something to read where nothing was asked, or the end."""
    try:
        return bool(connection.can_read())
    except (Lost, OSError):
        return True
