"""A Redis that has no room for one byte more."""

from __future__ import annotations

from contextlib import contextmanager

import redis


@contextmanager
def full(redis_url):
    """Let the Redis at *redis_url* refuse every command that needs memory."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)
