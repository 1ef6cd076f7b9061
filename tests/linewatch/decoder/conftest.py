"""A decoder's application on a real Redis, and its clients."""

from __future__ import annotations

import pytest

from linewatch.decoder.app import app_of
from tests.linewatch.decoder.phone_requests import TOKENS, service_of


@pytest.fixture(name="service")
def _service(redis_url):
    return service_of(redis_url)


@pytest.fixture(name="web")
def _web(service):
    return app_of(service).test_client()


@pytest.fixture(name="guarded")
def _guarded(redis_url):
    """A client of a decoder that knows tokens."""
    return app_of(service_of(redis_url, TOKENS=TOKENS)).test_client()
