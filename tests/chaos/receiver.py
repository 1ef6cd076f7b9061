"""The receiver of scores away under five utterances a second: each is scored once it is back."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing, contextmanager

from eventing import topology
from eventing.reconciliation.comparison import Comparison
from infra.launcher.redis_server import free_port, is_listening
from linewatch.board.store import Board
from linewatch.eventlog.redis import RedisLog
from tests.chaos.delivery import children, length, publish, running, utterance
from tests.chaos.functions import scored
from tests.chaos.proxy import Proxy
from tests.chaos.rig import rig
from tests.chaos.row import Row
from tests.chaos.verdict import Verdict
from tests.support.waiting import eventually

CALLS = 5
EVERY_S = 0.2
CALM_S = 2.0
UP_S = 60
#: The back-off after two minutes, and what the function's own time-outs hold up.
DELIVERED_S = 240


class Receiver:
    """The sink's processes, and a proxy in front of them."""

    def __init__(self, site, stack):
        self._site = site
        self._stack = stack
        self._port = free_port()
        self.start()
        self.proxy = stack.enter_context(Proxy(self._port))

    def start(self):
        """Start it, and wait until it listens."""
        env = {"PORT": str(self._port)}
        self._process = self._stack.enter_context(running(self._site, "sink", **env))
        eventually(lambda: is_listening(self._port), UP_S, what="the sink listens")

    def signal(self, number):
        """Send a signal to all of its processes, those that hold the port first."""
        for pid in (*children(self._process.pid), self._process.pid):
            os.kill(pid, number)

    def home(self, *, cut):
        """Return where it is called, through the proxy if answers are to be *cut*."""
        return f"http://127.0.0.1:{self.proxy.port if cut else self._port}"


@contextmanager
def _refusing(receiver):
    receiver.signal(signal.SIGKILL)
    yield lambda: None
    receiver.start()


@contextmanager
def _hanging(receiver):
    receiver.signal(signal.SIGSTOP)
    yield lambda: None
    receiver.signal(signal.SIGCONT)


@contextmanager
def _dying(receiver):
    """Let it write what it is sent, and cut it off before a word of the answer."""
    receiver.proxy.is_deaf = True
    yield receiver.proxy.reset
    receiver.proxy.is_deaf = False


def refusing(_, down_s=20.0):
    """Nobody listens where scores are posted to."""
    return _away("receiver-refusing", "refuses connections", _refusing, down_s)


def hanging(_, down_s=20.0):
    """It accepts, and never answers."""
    return _away("receiver-hanging", "accepts and never answers", _hanging, down_s)


def dying(_, down_s=20.0):
    """It writes scores, and dies before it has answered."""
    return _away("receiver-dying", "dies as it answers", _dying, down_s)


def _away(case, how, fault, down_s):
    spoken = _records(down_s)
    calm = round(CALM_S / EVERY_S)
    with ExitStack() as stack:
        site = stack.enter_context(rig(0))
        receiver = Receiver(site, stack)
        _start(site, stack, receiver.home(cut=fault is _dying))
        board = stack.enter_context(closing(Board.from_url(site.redis_url)))
        _speak(site, spoken[:calm])
        eventually(lambda: scored(board) >= calm, UP_S, what="the first are shown", every_s=0.1)
        with fault(receiver) as meanwhile:
            _speak(site, spoken[calm:-calm], meanwhile)
            waiting = len(spoken) - calm - scored(board)
        back_s = time.monotonic()
        _speak(site, spoken[-calm:])
        eventually(
            lambda: scored(board) >= len(spoken), DELIVERED_S, what="all are shown", every_s=0.1
        )
        took_s = time.monotonic() - back_s
        missing = eventually(
            lambda: _settled(site), UP_S, what="all are settled", every_s=0.2
        ).missing
        return _row(case, how, down_s, (board, len(spoken), waiting, took_s, missing, site))


def _records(down_s):
    count = round((down_s + 2 * CALM_S) / EVERY_S)
    return [utterance(f"call-{i % CALLS}", i // CALLS) for i in range(count)]


def _start(site, stack, home):
    activator = free_port()
    stack.enter_context(running(site, "activator", PORT=str(activator), SINK_URL=home))
    url = f"http://127.0.0.1:{activator}/{{name}}"
    stack.enter_context(running(site, "dispatcher", SERVICE_URL=url))


def _speak(site, records, meanwhile=lambda: None):
    for record in records:
        publish(site, [record])
        time.sleep(EVERY_S)
        meanwhile()


def _settled(site):
    """Return what is missing once the source is done with everything."""
    source = topology.load().source("sentiment")
    with closing(RedisLog.at(site.redis_url, 10)) as log:
        if log.lags(source.topic, [source.group]) != (0,):
            return None
        now_ms = round(time.time() * 1000)
        comparison = Comparison(log, source, "scores")
        return comparison.run(lambda _: None, now_ms=now_ms, everything=True)


def _row(case, how, down_s, seen):
    board, count, waiting, took_s, missing, site = seen
    said = {row.call: row.utterances for row in board.snapshot("default").rows}
    each = {f"call-{call}": len(range(call, count, CALLS)) for call in range(CALLS)}
    lost = sum(max(0, told - said.get(call, 0)) for call, told in each.items())
    doubled = sum(max(0, shown - each.get(call, 0)) for call, shown in said.items())
    dead = length(site, "dead-sentiment")
    repeats = length(site, "scores") - count
    return Row(
        case,
        12,
        f"the receiver of scores {how} for {down_s:.0f} s",
        1,
        Verdict(calls=CALLS, events=count, lost=lost + missing, doubled=doubled, repeats=repeats),
        f"{waiting} events waited, all shown {took_s:.1f} s after it was back; {missing} missing,"
        f" {dead} dead letters, {repeats} scores written twice",
        passed=not dead and waiting > 0,
    )
