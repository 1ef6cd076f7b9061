"""Progress on a terminal and in a log."""

import io

import pytest

from infra.model.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """It is one."""
        return True


def test_log_gets_few_lines():
    """A log gets a line each quarter, not one each step."""
    log = io.StringIO()
    progress = Progress("fetching", log)
    for step in range(101):
        progress.reached(step / 100, "part")
    progress.done()
    assert log.getvalue().splitlines() == [
        f"fetching {n:>4} part" for n in ("0%", "25%", "50%", "75%", "100%")
    ]


def test_terminal_gets_a_bar():
    """A terminal gets one line that is drawn over, ended when done."""
    terminal = Terminal()
    progress = Progress("fetching", terminal)
    progress.reached(0.5, "half")
    progress.done()
    first, second = terminal.getvalue().split("\r")[1:]
    assert "[############            ]  50% half" in first
    assert second.endswith("100% \n")


@pytest.mark.parametrize("fraction", [-1, 2])
def test_fraction_is_bounded(fraction):
    """A fraction beyond 0 and 1 is shown as 0 or 100 %."""
    log = io.StringIO()
    Progress("fetching", log).reached(fraction)
    assert log.getvalue() in {"fetching   0%\n", "fetching 100%\n"}
