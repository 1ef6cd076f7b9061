"""The dashboard's settings."""

from __future__ import annotations

from dataclasses import dataclass

from linewatch.errors import BadName
from linewatch.names import checked_name
from linewatch.settings import REDIS_URL, setting, url


def _tenant(raw: str) -> str:
    try:
        return checked_name("tenant", raw)
    except BadName as error:
        raise ValueError(error.rule) from None


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """What the dashboard needs."""

    redis_url: str = setting(
        "REDIS_URL",
        url("redis", "rediss", "unix"),
        REDIS_URL,
        "where the board is kept",
    )
    tenant: str = setting("TENANT", _tenant, "default", "whose calls are shown")
