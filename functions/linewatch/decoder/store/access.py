"""The way to the store: scripts and commands, and one error for whatever Redis refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, Self, cast

import redis

from linewatch import keys
from linewatch.decoder.store.scripts import Part, Scripts
from linewatch.eventlog.redis_connections import check, unavailable
from linewatch.eventlog.redis_writer import connect

TIMEOUT_S: Final = 0.4
#: So many idle channels, and quiet calls, are looked at in one turn.
_MOST_AT_ONCE: Final = 200


@contextmanager
def answering() -> Iterator[None]:
    """Raise `StoreUnavailable` where Redis does not answer, or refuses."""
    try:
        yield
    except redis.RedisError as error:
        raise unavailable(error, "Redis does not answer: send the same request again") from error


def text(found: object) -> str:
    """Return what Redis answered as text."""
    return found.decode() if isinstance(found, bytes) else str(found)


def texts(found: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return a hash as text."""
    return {text(name): text(value) for name, value in found.items()}


def pairs(flat: Sequence[bytes]) -> dict[str, str]:
    """Return a hash that a script answered, names and values in turns, as text."""
    return {text(flat[i]): text(flat[i + 1]) for i in range(0, len(flat), 2)}


class Access:
    """A connection to the store. Any method may raise `StoreUnavailable`.

    Args:
        client: Its time-outs bound how long a method may take.
        pod: This pod's id.
    """

    def __init__(self, client: redis.Redis, pod: str) -> None:
        self._redis = client
        self.pod: Final = pod
        self._scripts = Scripts(client)

    @classmethod
    def from_url(cls, url: str, pod: str) -> Self:
        """Connect lazily. Nothing is retried here: a repeat is the sender's to make."""
        return cls(connect(url, TIMEOUT_S), pod)

    def check(self) -> None:
        """Return if Redis lets us in, or does not answer yet.

        Raises:
            SettingsError: it does not let us in; says what to set.
        """
        check(self._redis, keys.pod(""), keys.alias("", ""), keys.undecodable(""))

    def _run(self, script: str, names: Sequence[str], *arguments: Iterable[Part]) -> Any:  # noqa: ANN401 - whatever the script answers
        with answering():
            return self._scripts.run(script, names, list(chain(*arguments)))

    def _since(self, index: str, for_s: float) -> list[str]:
        with answering():
            before_ms = self._clock_ms() - round(for_s * 1000)
            found = self._redis.zrangebyscore(index, "-inf", before_ms, 0, _MOST_AT_ONCE)
        return [text(name) for name in cast("list[bytes]", found)]

    def _clock_ms(self) -> int:
        ticked = cast("bytes | None", self._redis.hget(keys.CLOCK, "ms"))
        if ticked:
            return int(ticked)
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now."""
        self._scripts.drop_idle()
