"""Stages start behind readiness gates, the dead are restarted, a stop leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from infra.launcher.supervisor import StartFailed, StopSignals, Supervisor, restart_delay_s
from tests.infra.standins import (
    HAS_A_CHILD,
    IGNORES_SIGTERM,
    IMPORTS,
    SLEEPS,
    STAYS,
    Heard,
    launch,
    marked,
    read_until,
    role,
)
from tests.support.waiting import eventually


@pytest.fixture(name="heard")
def _heard():
    return Heard()


@pytest.fixture(name="mark")
def _mark():
    """A mark for processes, none of which outlives the test."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(name="launched")
def _launched(mark):
    """Start a launcher of stages; it is gone after the test, whatever happened."""
    started = []

    def start(stages):
        started.append(launch(mark, stages))
        return started[-1]

    yield start
    for launcher in started:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def test_gate_holds_next_stage(heard, tmp_path):
    """A stage is started only when every process of the one before is ready."""
    flag = tmp_path / "ready"
    slow = role(
        "slow",
        f"import time; time.sleep(0.4); open({str(flag)!r}, 'w').close(); {SLEEPS}",
        is_ready=flag.exists,
    )
    code = f"import os; print(os.path.exists({str(flag)!r}), flush=True); {SLEEPS}"
    stop = StopSignals()

    def ready():
        eventually(lambda: heard.said("next", "True"))
        stop.count = 1

    Supervisor([[slow, role("quick", SLEEPS)], [role("next", code)]], heard.say, stop).run(ready)
    order = [who for who, text in heard.lines if text == "is ready"]
    assert order == ["quick", "slow", "next"]


def test_late_process_fails_start(heard):
    """A process that is not ready in time stops the start, and what ran is stopped."""
    never = role("never", SLEEPS, is_ready=lambda: False, ready_within_s=0.3)
    supervisor = Supervisor([[role("first", SLEEPS)], [never]], heard.say, StopSignals())
    with pytest.raises(StartFailed, match=r"never was not ready within 0\.3 s"):
        supervisor.run(lambda: pytest.fail("nothing was ready"))
    assert not any(process.is_alive for stage in supervisor._stages for process in stage)


def test_dead_process_fails_start(heard):
    """A process that dies while it starts stops the start with its own last line."""
    code = "print('started', flush=True); raise SystemExit('PORT=x: a whole number is needed')"
    dead = role("dead", code, is_ready=lambda: False)
    with pytest.raises(StartFailed, match=r"dead ended with exit code 1: PORT=x: a whole"):
        Supervisor([[dead]], heard.say, StopSignals()).run(lambda: None)


def test_command_runs_once(heard):
    """A role that ends is waited for before the next stage, and never started again."""
    stop = StopSignals()
    done = role("topics", "import time; time.sleep(0.3); print('made')", ends=True)

    def ready():
        assert [text for _, text in heard.lines] == ["made", "is ready"]
        threading.Timer(0.8, lambda: setattr(stop, "count", 1)).start()

    Supervisor([[done], [role("next", STAYS)]], heard.say, stop).run(ready)
    assert not any("started again" in text for _, text in heard.lines)


def test_failed_command_fails_start(heard):
    """A role that is to end well and does not stops the start with its last line."""
    bad = role("topics", "raise SystemExit('Kafka is away')", ends=True)
    with pytest.raises(StartFailed, match=r"topics ended with exit code 1: Kafka is away"):
        Supervisor([[bad]], heard.say, StopSignals()).run(lambda: None)


def test_dead_process_restarts(heard, tmp_path):
    """A process that dies is started again, and both its death and its return are told."""
    pids = tmp_path / "pids"
    code = f"import os; print(os.getpid(), file=open({str(pids)!r}, 'a'), flush=True); {STAYS}"
    stop = StopSignals()

    def told():
        eventually(pids.exists)
        os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)
        eventually(lambda: heard.said("one", "is ready again"))
        eventually(lambda: len(pids.read_text().split()) == 2)
        stop.count = 1

    helper = threading.Thread(target=told)
    Supervisor([[role("one", code)]], heard.say, stop).run(helper.start)
    helper.join()
    assert heard.lines == [
        ("one", "is ready"),
        ("one", "was ended by SIGKILL; is started again in 0.5 s"),
        ("one", "is ready again"),
        ("linewatch", "stopping"),
    ]


def test_restarts_back_off():
    """Each restart in a row waits twice as long, up to ten seconds."""
    assert [restart_delay_s(n) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert restart_delay_s(10_000) == 10


def test_crash_loop_waits_longer(heard):
    """A process that dies again at once is given more time before the next start."""
    stop = StopSignals()

    def told():
        eventually(lambda: heard.said("one", "is started again in 1 s"))
        stop.count = 1

    helper = threading.Thread(target=told)
    one = role("one", "import time; time.sleep(0.3); raise SystemExit(4)")
    Supervisor([[one]], heard.say, stop).run(helper.start)
    helper.join()
    assert heard.said("one", "ended with exit code 4; is started again in 0.5 s")


def test_wrong_setting_ends_all(heard):
    """A process that ends by a wrong setting is not started again: its line ends the start."""
    one = role("one", "import time; time.sleep(0.3); print('PORT is odd'); raise SystemExit(2)")
    with pytest.raises(StartFailed, match="one: PORT is odd"):
        Supervisor([[one]], heard.say, StopSignals()).run(lambda: None)
    assert not heard.said("one", "is started again")


def test_stop_goes_backwards(heard):
    """The last stage stops first: who calls ends before who is called."""
    # Waits for the signal rather than handling it: a handler cannot print amid another print.
    code = (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [15])\n"
        "print('up', flush=True); signal.sigwait([15]); print('bye', flush=True)"
    )
    stop = StopSignals()

    def ready():
        eventually(lambda: sum(text == "up" for _, text in heard.lines) == 3)
        stop.count = 1

    stages = [[role("a", code)], [role("b", code)], [role("c", code)]]
    Supervisor(stages, heard.say, stop).run(ready)
    assert [who for who, text in heard.lines if text == "bye"] == ["c", "b", "a"]


def test_stubborn_process_is_killed(heard):
    """A process that ignores SIGTERM is killed after its time, and that is told."""
    stop = StopSignals()

    def ready():
        eventually(lambda: heard.said("mule", "up"))
        stop.count = 1

    mule = role("mule", IGNORES_SIGTERM, stop_within_s=0.3)
    supervisor = Supervisor([[mule]], heard.say, stop)
    supervisor.run(ready)
    assert heard.said("linewatch", "mule did not stop in time and is killed")
    assert not supervisor._stages[0][0].is_alive


def test_second_signal_hurries(heard):
    """Asked a second time, the launcher waits for nobody."""
    stop = StopSignals()

    def ready():
        eventually(lambda: heard.said("mule", "up"))
        stop.count = 1
        threading.Timer(0.3, lambda: setattr(stop, "count", 2)).start()

    mule = role("mule", IGNORES_SIGTERM, stop_within_s=3600)
    Supervisor([[mule]], heard.say, stop).run(ready)


def test_echoed_signal_counts_once():
    """A signal that make passes on at once is the same wish; one a second later is another."""
    now = [100.0]
    stop = StopSignals(clock=lambda: now[0])
    for now[0] in (100.0, 100.1, 100.2, 102.0):
        stop._asked(signal.SIGTERM, None)
    assert stop.count == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_leaves_no_process(launched, mark, number):
    """SIGTERM, Ctrl-C and a closed terminal stop everything, children of children too."""
    launcher = launched([{"a": SLEEPS, "b": HAS_A_CHILD}, {"c": SLEEPS}])
    read_until(launcher, "b           | up", "test        | all ready")
    eventually(lambda: len(marked(mark)) == 5)
    launcher.send_signal(number)
    read_until(launcher, "test        | all stopped")
    assert launcher.wait(timeout=60) == 0
    assert marked(mark) == []


def test_signal_while_starting(launched, mark):
    """A signal in the middle of the start stops what has been started so far."""
    launcher = launched([{"a": SLEEPS}, {"b": SLEEPS}])
    read_until(launcher, "a           | is ready")
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=60) == 0
    assert marked(mark) == []


def test_kill_leaves_no_process(launched, mark):
    """Even kill -9 of the launcher ends what it had started."""
    launcher = launched([{"a": SLEEPS}, {"b": SLEEPS}])
    read_until(launcher, "all ready")
    eventually(lambda: len(marked(mark)) == 3)
    launcher.kill()
    launcher.wait()
    eventually(lambda: not marked(mark))


def test_reader_gone_is_harmless(launched, mark):
    """A launcher whose output nobody reads any more goes on and stops when asked."""
    chatter = "import time\nwhile True: print('line', flush=True); time.sleep(0.02)"
    launcher = launched([{"a": chatter}])
    read_until(launcher, "all ready")
    launcher.stdout.close()
    time.sleep(0.3)
    assert launcher.poll() is None
    launcher.send_signal(signal.SIGTERM)
    launcher.wait(timeout=60)
    assert marked(mark) == []


def test_nohup_is_respected():
    """Under nohup SIGHUP goes on being ignored; a script's `&`, which ignores SIGINT, is not."""
    code = (
        "import signal; from infra.launcher.supervisor import StopSignals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "StopSignals().install()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", code], env=IMPORTS, check=True)
