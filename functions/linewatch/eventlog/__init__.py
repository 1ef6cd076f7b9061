"""The event log: Redis streams on one machine, Kafka elsewhere, behind one protocol.

`follow` is what a notebook or a new service needs of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linewatch.eventlog.following import follow

__all__ = ["follow"]


def __getattr__(name: str) -> object:
    # Who needs the protocol only shall not wait for the clients of Redis and Kafka.
    if name == "follow":
        from linewatch.eventlog.following import follow  # noqa: PLC0415

        return follow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
