"""``python -m tests.chaos``: break everything, compare byte for byte, write the table.

::

    python -m tests.chaos [CASE ...]         the short run, or some of its cases
    python -m tests.chaos --part kills       one long part, from where it was left
    python -m tests.chaos --report           docs/reliability.md from what was measured
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from infra.launcher.tether import tethered
from tests.chaos import report
from tests.chaos.cases import ALONE, LONG, SHORT
from tests.chaos.doses import DOSES
from tests.chaos.row import Row, code, commit, keep, kept, markdown
from tests.chaos.verdict import Verdict
from tests.support.decoders import ROOT
from tests.support.waiting import TooLong

LANES = 2
#: The machine may stand still for a moment; what is slow each time is slow.
TRIES = 3


def measured(name, case, seed, part):
    """Run one case, say and keep its row; a short one once more if it was right but late."""
    # Before the case: a long one may end beside another commit.
    ran = {"part": part, "seed": seed, "commit": commit(), "code": code()}
    for each in range(TRIES if part == "short" else 1):
        row = tried(name, case, seed)
        row = replace(row, note=row.note + f"; try {each + 1}" * bool(each))
        print(" | ".join(row.cells()), flush=True)
        if not (row.is_right and row.is_late):
            break
    keep(row, **ran, at=datetime.now(UTC).isoformat(timespec="seconds"))
    return row


def tried(name, case, seed):
    """Return the row of one run of a case."""
    begun_s = time.monotonic()
    try:
        row = case(random.Random(f"{seed}/{name}"))
    except TooLong as error:
        row = Row(name, 0, name, 0, Verdict(), str(error), passed=False)
    return replace(row, case=name, took_s=time.monotonic() - begun_s)


def short(names, seed):
    """Run the short cases *names*, or all: first those that need the machine, then the others."""
    chosen = [name for name in SHORT if name in (names or SHORT)]
    rows = [measured(name, SHORT[name], seed, "short") for name in chosen if name in ALONE]
    rows += side_by_side([name for name in chosen if name not in ALONE], seed)
    print("\n" + markdown(rows))
    return rows


def side_by_side(names, seed):
    """Run the cases *names* in lanes, each case a process of its own that ends with this one."""
    known = len(kept())
    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(lambda name: _run_beside(name, seed), names))
    rows = [row for row, _ in kept()[known:]]
    missing = set(names) - {row.case for row in rows}
    if missing:
        sys.exit(f"ended without {', '.join(sorted(missing))}: see above")
    return rows


def _run_beside(name, seed):
    command = [sys.executable, "-m", "tests.chaos", "--beside", "--seed", str(seed), name]
    subprocess.run(tethered(command), cwd=ROOT, env=os.environ, check=False)


def of_this_code(part):
    """Return what was kept of *part* for the code that ships."""
    return [row for row, beside in kept() if (beside["part"], beside["code"]) == (part, code())]


def long(part, seed):
    """Run slices of *part* until the code that ships has them all."""
    case, wanted = LONG[part]
    mine = of_this_code(part)
    done = sum(row.runs for row in mine)
    print(f"{part}: {done} of {wanted} done of this code", flush=True)
    while done < wanted:
        row = measured(f"{part}-{done}", case, seed, part)
        mine.append(row)
        if not row.runs:
            break
        done += row.runs
    return mine


def dosed(seed):
    """Run the promised doses that the code that ships has not held yet."""
    held = {row.case for row in of_this_code("doses") if row.holds}
    print(f"doses: {len(held)} of {len(DOSES)} held by this code", flush=True)
    return [measured(name, case, seed, "doses") for name, case in DOSES.items() if name not in held]


def main(words):
    """Run what is asked for; the exit status counts the promises broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("cases", nargs="*", choices=[[], *SHORT], metavar="CASE")
    parser.add_argument("--seed", type=int, default=0, help="repeats a run; drawn and told if 0")
    parser.add_argument("--part", choices=[*LONG, "doses"], help="run this long part")
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--report", action="store_true", help="write docs/reliability.md")
    asked = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Callers that are held up are what this is about.
    logging.disable(logging.WARNING)
    if asked.report:
        report.write()
        return 0
    if asked.beside:
        (name,) = asked.cases
        return int(not measured(name, SHORT[name], asked.seed, "short").holds)
    seed = asked.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}, commit {commit()}", flush=True)
    rows = run(asked.part, asked.cases, seed)
    report.write()
    return told(rows)


def told(rows):
    """Return how many of *rows* are broken, and say them last: of a long log the end is read."""
    broken = [row for row in rows if not row.holds]
    for row in broken:
        print("BROKEN:", " | ".join(row.cells()), flush=True)
    return len(broken)


def run(part, names, seed):
    """Run a long *part*, or else the short run."""
    if part == "doses":
        return dosed(seed)
    return long(part, seed) if part else short(names, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
