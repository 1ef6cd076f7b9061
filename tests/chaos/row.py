"""One line of the table: a promise, how often it was tried, and what came out."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field, replace

from tests.chaos.verdict import Verdict
from tests.support.decoders import ROOT

RECORDS = ROOT / ".linewatch" / "chaos.jsonl"
_BESIDE = ("part", "seed", "commit", "code", "at", "load")
HEAD = ("promise", "runs", "lost", "doubled", "differing", "recovery p95", "took", "")


@dataclass(frozen=True, slots=True)
class Row:
    """A result; *number* is the promise's in promises.md.

    *passed* is what else had to hold beside a clean verdict; of a *control* the verdict
    must not be clean, else the test cannot fail. *recoveries* are seconds, of which 95 %
    aim to be below *aim_s*; a noisy machine may take twice that, which leaves the row open.
    *slow* tells that another time was missed by so much, *open* is any other aim that was
    missed. *counts* add up over slices; the note is the last's.
    """

    case: str
    number: int
    promise: str
    runs: int
    verdict: Verdict
    note: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    passed: bool = True
    slow: bool = False
    control: bool = False
    recoveries: list[float] = field(default_factory=list)
    aim_s: float = 0.0
    open: str = ""
    took_s: float = 0.0

    @property
    def holds(self):
        """Tell whether the promise was kept."""
        return self.is_right and not self.is_late

    @property
    def is_right(self):
        """Tell whether all was kept that no slow machine excuses."""
        return self.passed and self.verdict.is_clean != self.control

    @property
    def is_late(self):
        """Tell whether it took longer than twice what is aimed at."""
        slowest_s = quantile(self.recoveries, 0.95) or 0.0
        return self.slow or bool(self.aim_s and slowest_s > 2 * self.aim_s)

    @property
    def missed(self):
        """Tell which aim was missed by a row that holds otherwise."""
        slowest_s = quantile(self.recoveries, 0.95) or 0.0
        if self.aim_s and slowest_s > self.aim_s:
            return f"p95 is above the aim of {self.aim_s:.1f} s"
        return self.open

    @property
    def told(self):
        """Return how it stands, in a word or two."""
        if not self.holds:
            return "BROKEN"
        return f"OPEN: {self.missed}" if self.missed else "holds"

    def __add__(self, other):
        return replace(
            self,
            runs=self.runs + other.runs,
            verdict=self.verdict + other.verdict,
            note=other.note,
            counts=dict(Counter(self.counts) + Counter(other.counts)),
            open=self.open or other.open,
            passed=self.passed and other.passed,
            slow=self.slow or other.slow,
            recoveries=self.recoveries + other.recoveries,
            took_s=self.took_s + other.took_s,
        )

    @property
    def noted(self):
        """Return the note, and what was counted."""
        counted = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return ": ".join(filter(None, (self.note, counted)))

    def cells(self):
        """Return what the table shows."""
        wrong = self.verdict.differing + self.verdict.disordered + self.verdict.untold
        counts = (self.verdict.lost, self.verdict.doubled, wrong)
        p95 = quantile(self.recoveries, 0.95)
        return (
            self.promise,
            str(self.runs),
            *map(str, counts),
            "" if p95 is None else f"{p95:.2f} s",
            f"{self.took_s:.0f} s",
            "; ".join(filter(None, (self.told, self.noted))),
        )


def quantile(values, share):
    """Return the value below which *share* of *values* lie; none of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def commit():
    """Return the commit that runs; ``+`` marks changes that are in none."""
    head = _git("rev-parse", "--short", "HEAD")
    return head + ("+" if _git("status", "--porcelain", "functions", "tests/chaos") else "")


def code():
    """Return the hash of what ships: runs of equal code count together, whatever the tests'."""
    return _git("rev-parse", "--short", "HEAD:functions")


def _git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def keep(row, **beside):
    """Append *row* to the records, with what is known *beside* it."""
    told = {
        **asdict(row),
        "recoveries": [round(each, 3) if math.isfinite(each) else 999 for each in row.recoveries],
        **beside,
        "load": round(os.getloadavg()[0], 1),
    }
    RECORDS.parent.mkdir(exist_ok=True)
    with RECORDS.open("a") as records:
        records.write(json.dumps(told) + "\n")


def kept():
    """Return every record as the row and what was kept beside it."""
    found = []
    if not RECORDS.exists():
        return found
    for line in RECORDS.read_text().splitlines():
        told = json.loads(line)
        beside = {name: told.pop(name, "") for name in _BESIDE}
        found.append((Row(**{**told, "verdict": Verdict(**told["verdict"])}), beside))
    return found


def markdown(rows):
    """Return *rows* as a table."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
