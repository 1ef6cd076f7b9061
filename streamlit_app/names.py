"""How long labels and call ids are cut, so that no two calls of a list look alike."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

LABEL_CHARS: Final = 24
_HINT_CHARS: Final = 12
_CUT: Final = "…"


@dataclass(frozen=True, slots=True)
class Name:
    """A call's label as a list shows it.

    *hint* is the part of the call's id that tells it from others of a label that looks the
    same; empty where nothing else does.
    """

    label: str
    hint: str = ""


def of_calls(labels: Mapping[str, str]) -> Mapping[str, Name]:
    """Return the name of each call of a list; *labels* has each call's label by its id."""
    shown = short(labels.values())
    alike = defaultdict(list)
    for call, label in labels.items():
        alike[_looks(shown[label])].append(call)
    hints = {
        call: hint
        for calls in alike.values()
        if len(calls) > 1
        for call, hint in short(calls, _HINT_CHARS).items()
    }
    return {call: Name(shown[label], hints.get(call, "")) for call, label in labels.items()}


def _looks(label: str) -> str:
    """Return *label* without what no eye can see: kinds of spaces, and joiners."""
    visible = (each for each in label if unicodedata.category(each) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", "".join(visible)).split())


def short(labels: Iterable[str], chars: int = LABEL_CHARS) -> Mapping[str, str]:
    """Return each label in at most *chars* characters, longer where only that tells two apart."""
    cut = defaultdict(list)
    for label in dict.fromkeys(labels):
        cut[_ends(label, chars)].append(label)
    shown: dict[str, str] = {}
    for text, alike in cut.items():
        taken = {*cut, *shown.values()}
        shown |= {alike[0]: text} if len(alike) == 1 else _told_apart(alike, chars, taken)
    return shown


def _told_apart(labels: list[str], chars: int, taken: set[str]) -> Mapping[str, str]:
    """Cut labels of the same ends around the first place where they differ, or not at all."""
    columns = enumerate(zip(*labels, strict=False))
    place = next((at for at, column in columns if len({*column}) > 1), min(map(len, labels)))
    shown = {label: _around(label, place, chars) for label in labels}
    if len({*shown.values(), *taken}) == len(shown) + len(taken):
        return shown
    return {label: label for label in labels}


def _ends(label: str, chars: int) -> str:
    """Return beginning and end of *label*: lines of one site differ in their last characters."""
    if len(label) <= chars:
        return label
    head = (chars - 1) // 3
    return f"{label[:head].rstrip()}{_CUT}{label[head + 1 - chars :].lstrip()}"


def _around(label: str, place: int, chars: int) -> str:
    head, tail = chars // 5, chars // 3
    begin = max(head, place - 2)
    end = begin + chars - head - tail - 2
    return _CUT.join((label[:head], label[begin:end], label[max(end, len(label) - tail) :]))
