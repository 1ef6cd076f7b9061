"""What the sentiment function is told."""

from __future__ import annotations

from dataclasses import dataclass

from linewatch.sending.outlet import OutletSettings
from linewatch.settings import consumer, setting


@dataclass(frozen=True, slots=True)
class Settings(OutletSettings):
    """What the sentiment function needs."""

    consumer: str = setting(
        "CONSUMER", consumer, "sentiment", "who scored: part of a score's id, shown on the board"
    )
