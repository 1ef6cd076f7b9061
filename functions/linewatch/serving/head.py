"""The head of an HTTP/1 request: its line and its fields, refused unless they are certain.

RFC 9110 (5.1, 5.5) and RFC 9112 (2.2, 3) say what a line, a name and a value may hold;
what gunicorn's own parser forbids beyond that is forbidden here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from linewatch.errors import BadRequest, LinewatchError, of_framework

FIELDS_LIMIT: Final = 100
LINE_LIMIT: Final = 4094
_LONGEST_QUOTE: Final = 60
_LINE: Final = re.compile(r"([A-Z0-9!$%&'*+.^_`|~-]{3,20}) ([\x21-\x7e]+) HTTP/1\.([0-9])")
_FIELD: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):([\t\x20-\x7e\x80-\xff]*)")
#: How the body comes is said anew, and that it may come has been said.
_FRAMING: Final = frozenset({"TRANSFER-ENCODING", "CONTENT-LENGTH", "EXPECT"})
#: Two of them can be read in two ways (RFC 9110, 5.3).
_ONCE: Final = frozenset({"HOST", "CONTENT-TYPE"})

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Head:
    """What a request asks; names of fields are in capitals.

    *fields* are those for the application, *framing* those that say how the body comes.
    """

    method: str
    target: str
    path: str
    query: str
    version: tuple[int, int]
    fields: Fields
    framing: Fields

    def own(self, name: str) -> list[str]:
        """Return the values of the field *name* among *framing*."""
        return [value for each, value in self.framing if each == name]


def read(text: str) -> Head:
    """Understand a head, without the empty line at its end, from Latin-1.

    Raises:
        LinewatchError: it is none, or one that two readers may understand in two ways.
    """
    line, *rows = text.split("\r\n")
    method, target, minor = _line(line)
    path, query = _split(method, target)
    if len(rows) > FIELDS_LIMIT:
        raise too_large(f"the request cannot be read: send at most {FIELDS_LIMIT} headers")
    return Head(method, target, path, query, (1, minor), *_fields(rows))


def too_large(detail: str) -> LinewatchError:
    """Return the error of a head with too much in it."""
    return of_framework(431, "Request header fields too large", detail)


def _line(line: str) -> tuple[str, str, int]:
    """Return method, target and minor version."""
    if len(line) > LINE_LIMIT:
        raise of_framework(
            414,
            "URI too long",
            f"the request cannot be read: send at most {LINE_LIMIT} bytes in its first line",
        )
    if not (found := _LINE.fullmatch(line)):
        raise _unreadable("its first line is not METHOD /path HTTP/1.1", line)
    return found[1], found[2], int(found[3])


def _split(method: str, target: str) -> tuple[str, str]:
    """Return path and query, both as they were sent."""
    if target.startswith("/"):
        path, _, query = target.partition("#")[0].partition("?")
        return path, query
    if "://" not in target and (method, target) != ("OPTIONS", "*"):
        raise _unreadable("its path must begin with a slash", target)
    try:
        parts = urlsplit(target)
    except ValueError:
        raise _unreadable("its address is not a URL", target) from None
    return parts.path, parts.query


def _fields(rows: list[str]) -> tuple[Fields, Fields]:
    """Return the fields for the application, and those of the framing."""
    fields: Fields = []
    framing: Fields = []
    once: set[str] = set()
    for row in rows:
        if not (found := _FIELD.fullmatch(row)):
            raise _unreadable("a header must be NAME: VALUE on a line of its own", row)
        name, value = found[1].upper(), found[2].strip(" \t")
        if name in _ONCE:
            if name in once:
                raise _unreadable("send this header once", name)
            once.add(name)
        # X_Y and X-Y are one name to an application (CGI): who sends the first means mischief.
        if "_" not in name:
            (framing if name in _FRAMING else fields).append((name, value))
    return fields, framing


def _unreadable(why: str, what: str) -> LinewatchError:
    return BadRequest(f"the request cannot be read: {why}: {what[:_LONGEST_QUOTE]!r}")
