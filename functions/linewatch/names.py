"""Names as phone systems have them: call ids, and labels of lines, agents and queues. No I/O."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final
from unicodedata import category
from urllib.parse import quote

from linewatch.errors import BadName

CALL_BYTES: Final = 256
LABEL_CHARACTERS: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
#: What turns the text after it around: only isolated (FSI) is that harmless, on a page.
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Controls, halves of surrogate pairs, ends of lines and paragraphs.
_UNSHOWN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_IDS_REMEMBERED: Final = 4096


def checked_name(kind: str, name: object) -> str:
    """Return *name* if it may stand in a path, a key and an event's source as it is.

    Raises:
        BadName: it is no string of 1 to 128 letters, digits, ``. _ ~ -``
            beginning with a letter or a digit.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadName(kind, name)
    return name


def checked_call(name: object) -> str:
    """Return the id of a call, a number as its text.

    Raises:
        BadName: it is no text of 1 to 256 bytes in UTF-8 without control characters, or one that
            stands for another place in a path (``.`` and ``..``), or nothing of it can be seen.
    """
    text = _text(name)
    if text is not None and _NAME.fullmatch(text):
        return text
    if text is None or not _is_visible(text) or text in {".", ".."} or "Cc" in _kinds(text):
        raise BadName("call", name)
    if "Cs" in _kinds(text) or len(text.encode()) > CALL_BYTES:
        raise BadName("call", name)
    return text


def checked_label(kind: str, label: object) -> str:
    """Return what people call a line, an agent or a queue, a number as its text; "" is nobody.

    Spaces around it are dropped.

    Raises:
        BadName: it is no text of up to 128 characters, or holds a character that cannot be
            shown or that turns other text around.
    """
    text = _text(label)
    text = text.strip() if text is not None else None
    if text is None or len(text) > LABEL_CHARACTERS or not _BIDI.isdisjoint(text):
        raise BadName(kind, label)
    if not _UNSHOWN.isdisjoint(_kinds(text)):
        raise BadName(kind, label)
    return text if _is_visible(text) else ""


@lru_cache(maxsize=_IDS_REMEMBERED)
def encoded(call: str) -> str:
    """Return a call's id percent-encoded: letters, digits and ``. _ ~ -`` stay as they are."""
    return quote(call, safe="")


def printable(text: str) -> str:
    """Return *text* with everything escaped that could act in a terminal or a log."""
    return text if text.isprintable() else repr(text)[1:-1]


def _text(name: object) -> str | None:
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        return None
    return None if isinstance(name, float) and not math.isfinite(name) else str(name)


def _kinds(text: str) -> set[str]:
    return {category(character) for character in text}


def _is_visible(text: str) -> bool:
    """Tell whether *text* holds more than spaces and characters that only shape others."""
    return any(kind[0] != "Z" and kind not in {"Cf", "Cc", "Cs"} for kind in _kinds(text))
