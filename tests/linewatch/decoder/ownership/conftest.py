"""A decoder pod without its HTTP edge."""

from __future__ import annotations

import pytest

from tests.linewatch.decoder.pods import Pod


@pytest.fixture(name="pod")
def _pod(redis_url):
    return Pod(redis_url)
