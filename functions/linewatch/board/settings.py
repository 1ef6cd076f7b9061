"""What the board function is told."""

from __future__ import annotations

from dataclasses import dataclass

from linewatch.sending.outlet import OutletSettings
from linewatch.settings import REDIS_URL, consumers, setting, url


@dataclass(frozen=True, slots=True)
class Settings(OutletSettings):
    """What the board function needs."""

    redis_url: str = setting(
        "REDIS_URL", url("redis", "rediss", "unix"), REDIS_URL, "where the board is kept"
    )
    consumers_shown: tuple[str, ...] = setting(
        "CONSUMERS_SHOWN",
        consumers,
        "",
        "whose scores the board shows, first choice first; none = any",
    )
