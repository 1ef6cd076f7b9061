"""The store's scripts, each run by Redis in one piece; see ``lua/``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from redis import ConnectionError as Lost
from redis import Redis
from redis import TimeoutError as Late
from redis.exceptions import NoScriptError, RedisError

from linewatch.eventlog.redis_connections import is_misplaced
from linewatch.events import Record
from linewatch.serving.breaker import Breaker

NAMES: Final = (
    *("claim", "commit", "edge", "close", "announce", "own", "tick"),
    *("renew", "keep", "alias"),
)
Part = str | bytes | int
_LUA: Final = Path(__file__).with_name("lua")


def flat(record: Record) -> list[Part]:
    """Return *record* as the arguments of an XADD."""
    return [part for pair in record.fields().items() for part in pair]


class Scripts:
    """Runs scripts on connections of its own, as many as run at once.

    The client's own pool, its retries and what it records of itself would cost a chunk
    more than its commit does. *known* holds the scripts by their names.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self.known = {
            name: client.register_script((_LUA / f"{name}.lua").read_text()) for name in NAMES
        }
        # Who was used last goes first: what a rush left is never used, and dropped.
        self._idle: list[Any] = []
        self._breaker = Breaker(Late)

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Part]) -> Any:  # noqa: ANN401 - whatever the script answers
        """Return what the script *name* answers.

        Raises:
            redis.RedisError: Redis did not answer, or refused.
        """
        try:
            return self._run(self.known[name], keys, arguments)
        except RedisError as error:
            if is_misplaced(error):
                self.drop_idle()
            raise

    def _run(self, script: Any, keys: Sequence[str], arguments: Sequence[Part]) -> Any:  # noqa: ANN401 - see above
        try:
            with self._breaker.asking(), self._connection() as connection:
                connection.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
                return connection.read_response()
        except NoScriptError:
            # Redis began anew: the client's own way teaches it the script.
            return script(keys=list(keys), args=list(arguments))

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now, the client's own too."""
        self._pool.disconnect(inuse_connections=False)
        idle, self._idle = self._idle, []
        while connection := _taken(idle):
            connection.disconnect()

    def _new(self) -> Any:  # noqa: ANN401 - see above
        # Not the pool's own way: it counts what was ever made, and stops at some number.
        return self._pool.connection_class(**self._pool.connection_kwargs)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        connection = _taken(self._idle) or self._new()
        try:
            connection.connect()
            if _is_stale(connection):
                connection.disconnect()
                connection.connect()
            yield connection
        finally:
            self._idle.append(connection)


def _taken(idle: list[Any]) -> Any:  # noqa: ANN401 - see above
    """Take the connection used last out of *idle*, none if there is none."""
    try:
        return idle.pop()
    except IndexError:
        # Asked before, it might be gone by now: other threads take some too.
        return None


def _is_stale(connection: Any) -> bool:  # noqa: ANN401 - see above
    """Tell whether there is something to read where nothing was asked, or the end."""
    try:
        return bool(connection.can_read())
    except (Lost, OSError):
        return True
