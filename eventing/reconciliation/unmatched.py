"""What was lost on the way: utterances that have neither a score nor a dead letter.

Matched by the source of the event and the utterance's first sample, which the id of
each begins with. No I/O: `comparison` reads the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final

from linewatch.eventlog.record import Entry

#: Utterances compared at a time: what bounds the memory.
BATCH: Final = 20_000
_DIGEST_BYTES: Final = 12


def name_of(entry: Entry) -> bytes | None:
    """Return a digest of the utterance that *entry* is, or is about; None if it is not an event."""
    source, event_id = entry.fields.get(b"ce_source"), entry.fields.get(b"ce_id")
    if not source or not event_id:
        return None
    sample = event_id.partition(b"-")[0]
    return blake2b(source + b"\0" + sample, digest_size=_DIGEST_BYTES).digest()


def is_blank(entry: Entry) -> bool:
    """Tell whether nothing was said: such an utterance is scored by nobody."""
    try:
        text = json.loads(entry.fields.get(b"value", b""))["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(text, str) and not text.strip()


class Unmatched:
    """Utterances of which nothing else was seen yet: a digest and a place each."""

    def __init__(self, most: int = BATCH) -> None:
        self._most = most
        self._places: dict[bytes, tuple[int, int]] = {}
        #: When the first of them was written.
        self.begin_ms = 0

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self._places)

    @property
    def is_full(self) -> bool:
        """Whether it is time to compare them."""
        return len(self._places) >= self._most

    def add(self, utterance: Entry) -> None:
        """Take an utterance; one that was written twice counts once, and a blank one not."""
        if (name := name_of(utterance)) and not is_blank(utterance):
            self._note(name, utterance.place, utterance.written_at_ms)

    def take(self, others: Unmatched) -> None:
        """Take what is left of *others*."""
        for name, place in others._places.items():
            self._note(name, place, others.begin_ms)

    def _note(self, name: bytes, place: tuple[int, int], written_at_ms: int) -> None:
        first_ms = self.begin_ms if self._places else written_at_ms
        self.begin_ms = min(first_ms, written_at_ms)
        self._places.setdefault(name, place)

    def cross_off(self, entry: Entry) -> None:
        """Forget the utterance that *entry* is about."""
        if name := name_of(entry):
            self._places.pop(name, None)

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield each partition in which they lie, with their first offset and their last."""
        offsets: dict[int, list[int]] = {}
        for partition, offset in self._places.values():
            offsets.setdefault(partition, []).append(offset)
        for partition in sorted(offsets):
            yield partition, min(offsets[partition]), max(offsets[partition])

    def holds(self, utterance: Entry) -> bool:
        """Tell whether *utterance* is one of them, at its place."""
        name = name_of(utterance)
        return name is not None and self._places.get(name) == utterance.place


def lowest(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    """Return the lower offset of each partition of *first*."""
    return {each: min(offset, second.get(each, offset)) for each, offset in first.items()}


def highest(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    """Return the higher offset of each partition of *first*."""
    return {each: max(offset, second.get(each, offset)) for each, offset in first.items()}
