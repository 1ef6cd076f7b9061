"""docs/reliability.md: measured figures only, each with the seed and the commit it is of."""

from __future__ import annotations

from functools import reduce
from operator import add

from decoders import ROOT

from tests.chaos.cases import LONG, SHORT
from tests.chaos.doses import DOSES
from tests.chaos.row import kept, markdown

PAGE = ROOT / "docs" / "reliability.md"
SHORT_TITLE = "## The short run (`make chaos`)"
HEAD = """# What breaks, and what is lost

Written by `python -m tests.chaos`; every figure was measured. Real decoders, relays and Redis
run on loopback and are called by real lines; a fault is injected; then every event that came out,
and every final that a caller was told, is compared byte for byte with the pure fold of the audio
that was spoken; the first row shows that an undisturbed run publishes just that. The recognizer is
the hash chain of `tests/fakes.py`: one sample more, less or elsewhere changes every later word.

*lost*: never published. *doubled*: published under a name the undisturbed run does not have.
*differing*: other bytes, another order in a channel, or a caller told something else. Repeats
with equal id and bytes are allowed (at least once) and are removed by every consumer.
*recovery*: from the fault to the first step taken of each channel that was on the decoder.
A control is a run without the protection: it must fail, else the row above it shows nothing.
"""

OPEN = """## Open

*OPEN* in a row: nothing was lost, but an aim was missed, and which. The load average is that of a
run's end; where it is high a long part ran beside other work.

Not on this page: poison, a caller who never comes back, forwards both ways, a pod that joins and a
burst from zero are held by `tests/e2e`, without a figure here.
"""


def write():
    """Write the page anew from all records; what this checkout never ran stays as it was."""
    before = _sections(PAGE.read_text())
    made = {
        SHORT_TITLE: _newest(SHORT_TITLE, "short", SHORT),
        _title("doses"): _newest(_title("doses"), "doses", DOSES),
        **{_title(part): _long(part) for part in LONG},
    }
    found = ["\n".join(lines) or before.get(title) for title, lines in made.items()]
    PAGE.write_text("\n".join([HEAD, *filter(None, found), OPEN]))


def _sections(text):
    """Return the page's sections by their title, which is their first line."""
    _, *sections = text.split("\n## ")
    return {f"## {each.splitlines()[0]}": f"## {each}" for each in sections}


def _title(part):
    return f"## `make chaos-long PART={part}`"


def _newest(title, part, cases):
    """The newest record of every case of *part*, once each was run here."""
    newest = {row.case: (row, beside) for row, beside in kept() if beside["part"] == part}
    if newest.keys() < cases.keys():
        return
    found = [newest[name] for name in cases]
    yield f"{title}\n"
    yield markdown([row for row, _ in found]) + "\n"
    yield _of([beside for _, beside in found]) + "\n"


def _long(part):
    """All slices of the code that was run last."""
    mine = [(row, beside) for row, beside in kept() if beside["part"] == part]
    if not mine:
        return
    last = mine[-1][1]["code"]
    mine = [(row, beside) for row, beside in mine if beside["code"] == last]
    yield f"{_title(part)}\n"
    yield markdown([reduce(add, [row for row, _ in mine])]) + "\n"
    yield _of([beside for _, beside in mine]) + "\n"


def _of(besides):
    def told(name):
        return ", ".join(dict.fromkeys(str(beside[name]) for beside in besides))

    loads = [beside["load"] for beside in besides]
    return (
        f"Seed {told('seed')}; commit {told('commit')} (`+`: with changes not yet committed);"
        f" ended {max(beside['at'] for beside in besides)};"
        f" load average {min(loads)} to {max(loads)} on two cores."
    )
