"""An entry: one record as it lies in a partition of the event log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, unread: *fields* are its ``topic``, ``key``, ``value`` and headers, or anything.

    *offset* only grows inside a partition; *written_at_ms* is by the log's clock.
    """

    partition: int
    offset: int
    fields: Mapping[bytes, bytes]
    written_at_ms: int

    @property
    def place(self) -> tuple[int, int]:
        """What names the entry inside its topic."""
        return self.partition, self.offset
