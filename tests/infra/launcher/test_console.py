"""Lines on the terminal."""

from __future__ import annotations

import io
import os

import pytest

from infra.launcher.console import Console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """It is one."""
        return True


def test_names_are_aligned():
    """Each line begins with its process's name in a column of its own."""
    stream = io.StringIO()
    console = Console(stream)
    console.say("redis", "is ready")
    console.say("decoder-1", "up")
    assert stream.getvalue() == "redis       | is ready\ndecoder-1   | up\n"


def test_colour_on_terminals_only(monkeypatch):
    """On a terminal each name keeps a colour of its own; NO_COLOR is respected."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    console = Console(stream)
    for name in ("a", "b", "a"):
        console.say(name, "x")
    first, second, third = stream.getvalue().splitlines()
    assert first == third == "\x1b[36ma           |\x1b[0m x"
    assert second.startswith("\x1b[33mb")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    Console(plain).say("a", "x")
    assert plain.getvalue() == "a           | x\n"


@pytest.mark.parametrize("closed", [True, False])
def test_gone_reader_is_harmless(closed):
    """A pipe whose reader has gone, or a closed stream, swallows the line."""
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True) as stream:
        console = Console(stream)
        if closed:
            stream.close()
        console.say("a", "x")
        if not closed:
            with pytest.raises(BrokenPipeError):
                stream.write("y")
            os.dup2(os.open(os.devnull, os.O_WRONLY), writing)
