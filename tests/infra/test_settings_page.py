"""Every setting of every role."""

from __future__ import annotations

import dataclasses

import pytest

from infra.settings_page import ROLES, SHARED
from linewatch.errors import SettingsError
from linewatch.eventlog.redis_writer import connect
from linewatch.settings import load

SECRET = "hunter2secret"
#: A secret where it may stand: alone, in a URL that is right or wrong, in a list, in a pair.
HOLDING = [
    SECRET,
    f"{SECRET}!",
    f"/{SECRET}\0",
    f"redis://user:{SECRET}@host:port/0",
    f"http://user:{SECRET}/1@host:8080",
    f"http://user:{SECRET}@[host/",
    f"http://[{SECRET}]/",
    f"rediss://user:{SECRET}\u2100@host/0",
    f"ftp://user:{SECRET}@host",
    f"a:1,user:{SECRET}@host:9092",
    f"tenant={SECRET},name={SECRET}",
]
KINDS = {**ROLES, **SHARED}.values()
NAMES = sorted({each.metadata["name"] for kind in KINDS for each in dataclasses.fields(kind)})


def refusal(read, *arguments):
    """Return the line that refuses what is to be read; "" where it is taken."""
    try:
        read(*arguments)
    except SettingsError as error:
        return error.detail
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_errors_hold_no_value(name):
    """Whatever a setting is given, the line that refuses it holds nothing of that."""
    refusals = [refusal(load, kind, {name: raw}) for kind in KINDS for raw in HOLDING]
    assert any(refusals)
    assert "hunter2" not in "".join(refusals)


@pytest.mark.parametrize("raw", HOLDING)
def test_redis_hides_its_url(raw):
    """A URL of which no client of Redis can be made is refused without a word of it."""
    assert "hunter2" not in refusal(connect, raw)
    assert refusal(connect, f"redis://:{SECRET}@host:6379/0?db={SECRET}").startswith("REDIS_URL ")
