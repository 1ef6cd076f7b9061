"""Clients of Redis, and the writing of records to the log in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from linewatch import keys
from linewatch.errors import SettingsError
from linewatch.eventlog.redis_connections import client_of, unavailable
from linewatch.events import Record

#: The client's own limit, 100, is below what THREADS may be; threads bound them.
_MOST_CONNECTIONS: Final = 1_024


def connect(url: str, timeout_s: float = 0.8) -> Redis:
    """Return a client that fails within *timeout_s* and never retries by itself.

    Raises:
        SettingsError: no client can be made of the URL.
    """
    try:
        return client_of(
            url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s / 2,
            retry=Retry(NoBackoff(), 0),
            max_connections=_MOST_CONNECTIONS,
        )
    except ValueError:
        # Not the error's words: where a password was not percent-encoded they quote a part of it.
        raise SettingsError(
            "REDIS_URL cannot be used: use redis://user:password@host:port/0, with %-escapes for "
            "special characters"
        ) from None


class RedisLogWriter:
    """Writes to the local event log: one stream per partition of a topic."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def publish(self, records: Sequence[Record]) -> None:
        """Write all of *records*, or none of them where Redis is full or away.

        Raises:
            StoreUnavailable: Redis did not acknowledge.
        """
        if not records:
            return
        streams = {keys.log(record.topic, record.partition) for record in records}
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.sadd(keys.LOGS, *streams)
                for record in records:
                    fields: dict[Any, Any] = dict(record.fields())
                    pipe.xadd(keys.log(record.topic, record.partition), fields)
                pipe.execute()
        except RedisError as error:
            raise unavailable(error, f"the event log is away: {type(error).__name__}") from error
