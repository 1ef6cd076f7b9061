"""A Redis client whose commands fail, time out, or take effect and time out, by a seeded draw."""

from __future__ import annotations

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as TooLate

_READS = ("hgetall", "lrange", "hmget", "xread")


class Starving:
    """Stands before *client* and draws a fate for every script that a store runs.

    Args:
        client: The real client.
        chance: Draws; seeded, so a run can be repeated.
        error: Share of scripts that fail before they reach Redis.
        timeout: Share that never reach Redis and time out.
        too_late: Share that take effect, and whose answer is lost.
    """

    def __init__(self, client, chance, error, timeout, too_late):
        self._client = client
        self._chance = chance
        self._bounds = (error, error + timeout, error + timeout + too_late)
        self.injected = 0

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if name not in _READS:
            return found
        return lambda *args, **named: self.fated(lambda: found(*args, **named))

    def register_script(self, source):
        """Return the script, which may fail when it is run."""
        script = self._client.register_script(source)

        def run(keys=(), args=()):
            return self.fated(lambda: script(keys=keys, args=args))

        return run

    def fated(self, run):
        """Run *run*, or not, or in vain."""
        drawn = self._chance.random()
        error, timeout, too_late = self._bounds
        if drawn >= too_late:
            return run()
        self.injected += 1
        if drawn < error:
            raise Lost("injected: the connection broke")
        if drawn >= timeout:
            run()
        raise TooLate("injected: no answer in time")
