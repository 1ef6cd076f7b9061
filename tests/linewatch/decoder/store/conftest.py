"""A client of Redis, and the stores of two living pods."""

from __future__ import annotations

import pytest
import redis

from tests.linewatch.decoder.store.stored import living


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(name="store")
def _store(redis_url):
    return living(redis_url, "pod-a")


@pytest.fixture(name="other")
def _other(redis_url):
    return living(redis_url, "pod-b")
