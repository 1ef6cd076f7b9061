"""Functions killed in the middle of what they are given: every event is scored, none is lost."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from infra.launcher.redis_server import free_port
from linewatch import keys
from linewatch.board.store import Board
from tests.chaos.delivery import children, publish, running, unsettled, utterance
from tests.chaos.rig import rig
from tests.chaos.row import Row
from tests.chaos.verdict import Verdict
from tests.support.waiting import eventually

CALLS = 20
UP_S = 60
DELIVERED_S = 120
#: Function -> its group, and the topic it reads.
_READS = {
    "sentiment": ("linewatch-sentiment", "utterances"),
    "board": ("linewatch-board-scores", "scores"),
}


def killed(_, rounds=2, each=10):
    """SIGKILL sentiment and board *rounds* times each while deliveries are in their hands.

    Twenty calls have *each* utterances.
    """
    with ExitStack() as stack:
        site = stack.enter_context(rig(0))
        activator = _start(stack, site)
        board = Board.from_url(site.redis_url)
        stack.callback(board.close)
        records = [utterance(f"call-{c}", i) for i in range(each) for c in range(CALLS)]
        fates = list(_READS) * rounds
        part = len(records) // len(fates)
        for number, function in enumerate(fates):
            publish(site, records[number * part : (number + 1) * part])
            _kill(site, activator, function)
            # Killed again and again at once, it would outlast the retries that a source makes.
            _await(board, number * part)
        _await(board, len(records))
        return _row(site, board, each, len(fates))


def _await(board, count):
    eventually(
        lambda: scored(board) >= count, DELIVERED_S, what=f"{count} events are shown", every_s=0.1
    )


def _start(stack, site):
    sink, activator = free_port(), free_port()
    home = f"http://127.0.0.1:{sink}"
    stack.enter_context(running(site, "sink", PORT=str(sink)))
    ports = {"PORT": str(activator), "SINK_URL": home}
    process = stack.enter_context(running(site, "activator", **ports))
    url = f"http://127.0.0.1:{activator}/{{name}}"
    stack.enter_context(running(site, "dispatcher", SERVICE_URL=url))
    return process


def _kill(site, activator, function):
    group, topic = _READS[function]
    found = eventually(lambda: _processes(activator, function), UP_S, what=f"{function} runs")
    eventually(
        lambda: unsettled(site, group, topic),
        UP_S,
        what=f"{function} has events in hand",
        every_s=0.002,
    )
    os.killpg(found[0], signal.SIGKILL)
    eventually(
        lambda: _processes(activator, function) not in ([], found),
        UP_S,
        what="it is back",
        every_s=0.05,
    )


def _processes(activator, function):
    """Return the function's gunicorn, which leads its own group."""
    workers = [each for pid in children(activator.pid) for each in children(pid)]
    return [pid for pid in workers if _is(pid, f"linewatch.{function}.app")]


def _is(pid, word):
    try:
        return word in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def scored(board):
    """Return how many utterances are shown with their score."""
    return sum(row.utterances for row in board.snapshot("default").rows)


def _row(site, board, each, kills):
    rows = board.snapshot("default").rows
    said = {row.call: row.utterances for row in rows}
    lost = sum(max(0, each - said.get(f"call-{call}", 0)) for call in range(CALLS))
    doubled = sum(max(0, shown - each) for shown in said.values())
    starts = sum(
        int(site.client.hget(keys.health("functions"), f"{function}.cold_starts") or 0)
        for function in _READS
    )
    dead = sum(board.snapshot("default").health.dead_letters.values())
    return Row(
        "function-kills",
        12,
        "sentiment and board SIGKILLed with events in their hands",
        kills,
        Verdict(calls=CALLS, events=CALLS * each, lost=lost, doubled=doubled),
        f"{CALLS * each} events scored and shown once, {dead} dead letters, {starts} starts",
        passed=not dead and starts >= kills,
    )
