"""What the board function is told."""

from __future__ import annotations

from dataclasses import dataclass

from linewatch.eventlog.protocol import KEPT_S
from linewatch.sending.outlet import OutletSettings
from linewatch.settings import REDIS_URL, consumers, setting, url, whole


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
    log_kept_hours: int = setting(
        "KAFKA_KEPT_HOURS",
        whole(1, 24 * 366),
        str(KEPT_S // 3600),
        "hours for which the event log can replay; calls that left the board are known as long",
    )
