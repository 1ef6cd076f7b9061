"""A board in a real Redis, and a client that looks into it."""

from __future__ import annotations

import pytest
import redis

from linewatch.board.store import Board


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(name="board")
def _board(redis_url):
    board = Board.from_url(redis_url)
    yield board
    board.close()
