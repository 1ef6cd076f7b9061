"""Connections to Redis that do not stay with a server that cannot take writes.

A primary that was demoted keeps its clients, and so does one that loads its data or cannot
write it down. The URL's name may lead elsewhere by now: whoever is refused so connects anew.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Final

from redis import Connection, ConnectionPool, Redis, RedisError, SSLConnection
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    ReadOnlyError,
)

from linewatch.errors import SettingsError, StoreRefused, StoreUnavailable

_KINDS: Final = (ReadOnlyError, BusyLoadingError, ClusterDownError)
#: How the same reads inside a script's error, and what has no class of its own.
_CODES: Final = re.compile(
    r"\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|UNBLOCKED)\b"
)
_NO_ENTRY: Final = (AuthenticationError, AuthenticationWrongNumberOfArgsError)
_CLUSTER: Final = (ClusterDownError, ClusterCrossSlotError, AskError)
#: A right that is missing inside a script.
_NO_RIGHT: Final = re.compile(r"user executing the script can't|ACL failure in script")
_PATIENCE_S: Final = 2.0
_TOUCH: Final = "redis.call('DEL', unpack(KEYS))"


def is_misplaced(error: Exception) -> bool:
    """Tell whether *error* says that this server takes no writes, though it answers."""
    return isinstance(error, _KINDS) or bool(_CODES.search(str(error)))


class _Leaving:
    """Notes that it is connected to a server that takes no writes."""

    leaves = False

    def read_response(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - as redis-py has it
        try:
            return super().read_response(*words, **options)  # type: ignore[misc] # redis-py's
        except RedisError as error:
            self.leaves = self.leaves or is_misplaced(error)
            raise

    def disconnect(self, *words: Any, **options: Any) -> None:  # noqa: ANN401 - as redis-py has it
        self.leaves = False
        super().disconnect(*words, **options)  # type: ignore[misc] # redis-py's


class _Tcp(_Leaving, Connection):
    pass


class _Tls(_Leaving, SSLConnection):
    pass


class _Unix(_Leaving, UnixDomainSocketConnection):
    pass


_BY_SCHEME: Final = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


class _Pool(ConnectionPool):
    """Gives up all idle connections once one of them leads to a server that takes no writes."""

    def release(self, connection: Any) -> None:  # noqa: ANN401 - as redis-py has it
        leaves = connection.leaves
        if leaves:
            connection.disconnect()
        super().release(connection)
        if leaves:
            self.disconnect(inuse_connections=False)


def client_of(url: str, **options: Any) -> Redis:  # noqa: ANN401 - the pool's own
    """Return a client of the Redis at *url*; nothing is connected yet.

    Raises:
        ValueError: no client can be made of the URL.
    """
    kind = _BY_SCHEME.get(url.partition(":")[0], _Tcp)
    return Redis.from_pool(_Pool.from_url(url, connection_class=kind, **options))


def refusal(error: Exception) -> str:
    """Return what to set where *error* will come again until somebody does; "" for any other."""
    if isinstance(error, _NO_ENTRY):
        return "Redis refuses the user or the password: set those that it knows in REDIS_URL"
    if isinstance(error, NoPermissionError) or _NO_RIGHT.search(str(error)):
        return (
            "Redis' user in REDIS_URL may not do what this role does: give it the rights that "
            "`python -m infra.redis_users` writes"
        )
    if isinstance(error, _CLUSTER) and not isinstance(error, MasterDownError):
        return (
            "Redis runs in cluster mode, where a script cannot change a call's keys together: "
            "set REDIS_URL to a Redis with cluster-enabled no"
        )
    return ""


def unavailable(error: Exception, otherwise: str) -> StoreUnavailable:
    """Return *error* as what a caller is told: what to set, else *otherwise*."""
    refused = refusal(error)
    return StoreRefused(refused) if refused else StoreUnavailable(otherwise)


def check(client: Redis, *names: str, writes: bool = True) -> None:
    """Return if Redis lets us in, or does not answer yet.

    *names* are of keys that nobody makes, in places where the role *writes*, or reads: more than
    one, so that a Redis in cluster mode says what it is.

    Raises:
        SettingsError: it does not let us in, or is a cluster; says what to set.
    """
    errors: list[RedisError] = []

    def ask() -> None:
        try:
            if writes:
                client.eval(_TOUCH, len(names), *names)
            else:
                client.exists(*names)
        except RedisError as error:
            errors.append(error)

    # Its own time-outs do not bound how long its name is looked up.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE_S)
    refused = next(filter(None, map(refusal, errors)), "")
    if refused:
        raise SettingsError(refused)
