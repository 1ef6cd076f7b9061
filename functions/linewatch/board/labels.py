"""Who has a call, on which line and in which queue: the last word per field. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from linewatch.calls import CallStart, CallUpdate

#: So many of a field's last words are kept: who had the call before is among them.
KEPT_WORDS: Final = 8
_BEFORE: Final = 4
#: A word and when it was said: the greater is the later one, of two at one moment the greater text.
_Word = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Labels:
    """What a call's row says of it; *agents_before* had it, the last of them first."""

    line: str
    agent: str
    queue: str
    agents_before: tuple[str, ...] = ()


def labels_of(call: str, start: CallStart | None, updates: Iterable[CallUpdate]) -> Labels:
    """Return what was said last of a call; its id is the line nobody named."""
    told = [*_of_start(start), *updates]
    agents = list(dict.fromkeys(text for _, text in _words(told, "agent")))
    return Labels(
        line=_last(told, "line") or call,
        agent=agents[0] if agents else "",
        queue=_last(told, "queue"),
        agents_before=tuple(agents[1 : 1 + _BEFORE]),
    )


def kept(updates: Iterable[CallUpdate]) -> tuple[CallUpdate, ...]:
    """Return those of *updates* that hold one of the last words of a field, in their order.

    However many there were, few are kept; which ones does not depend on the order they came in.
    """
    told = set(updates)
    words = {field: _words(told, field)[:KEPT_WORDS] for each in told for field in _said(each)}

    def counts(update: CallUpdate) -> bool:
        said = _said(update).items()
        return any((update.at_ms, text) in words[field] for field, text in said)

    return tuple(sorted(filter(counts, told), key=astuple))


def _of_start(start: CallStart | None) -> Sequence[CallUpdate]:
    """Return what a start says, at its moment; one that audio made names no line but its id."""
    if start is None:
        return ()
    line = "" if start.line == start.call else start.line
    said = CallUpdate(start.tenant, start.call, start.started_at_ms, line, start.agent, start.queue)
    return (said,)


def _said(update: CallUpdate) -> dict[str, str]:
    """Return what *update* says; that it came, where it says nothing."""
    return update.words or {"": ""}


def _words(told: Iterable[CallUpdate], field: str) -> list[_Word]:
    """Return what was said of *field*, the last first."""
    found = {(each.at_ms, _said(each)[field]) for each in told if field in _said(each)}
    return sorted(found, reverse=True)


def _last(told: Iterable[CallUpdate], field: str) -> str:
    return next((text for _, text in _words(told, field)), "")
