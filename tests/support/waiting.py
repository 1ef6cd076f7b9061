"""Waiting until a fact holds: the tests' one loop that asks again."""

from __future__ import annotations

import linecache
import time

#: A busy machine is no failure, and where the fact comes a long deadline costs nothing.
PATIENCE_S = 60.0


class TooLong(AssertionError):
    """Something that had to happen did not, within its deadline."""


def eventually(fact, timeout_s=PATIENCE_S, every_s=0.01, *, what=""):
    """Return the first true answer of *fact*, asked once at least and every *every_s*.

    Raises:
        TooLong: None came within *timeout_s*; it names the fact, by *what* or its line of source.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (found := fact()):
        if time.monotonic() > deadline_s:
            raise TooLong(f"not within {timeout_s} s: {what or _source(fact)}")
        time.sleep(every_s)
    return found


def _source(fact):
    code = getattr(fact, "__code__", None)
    return linecache.getline(code.co_filename, code.co_firstlineno).strip() if code else repr(fact)
