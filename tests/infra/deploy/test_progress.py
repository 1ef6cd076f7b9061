"""How it is told what is waited for."""

from __future__ import annotations

import io

from infra.deploy.progress import Progress


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        """It is."""
        return True


def test_line_for_a_change():
    """Elsewhere than on a terminal a line is written only where something changed."""
    stream = io.StringIO()
    progress = Progress(stream)
    for what in (["a"], ["a"], ["b"]):
        progress.waits(what, 2)
    assert stream.getvalue() == "  2 s: waiting for a\n  2 s: waiting for b\n"


def test_one_line_on_terminal():
    """On a terminal there is one line, which changes and makes place for the next that stays."""
    stream = Terminal()
    progress = Progress(stream)
    progress.waits(["a"], 2)
    progress.waits(["a"], 4)
    progress.say("done")
    last = stream.getvalue().rpartition("\n")[0].split("\r\x1b[K")
    assert last == ["", "  2 s: waiting for a", "  4 s: waiting for a", "done"]


def test_long_list_is_cut():
    """Of many only four are named."""
    stream = io.StringIO()
    Progress(stream).waits(list("abcdef"), 0)
    assert stream.getvalue() == "  0 s: waiting for a, b, c, d and 2 more\n"
