"""What CI runs, in which order, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / ".ci" / "run"
PROGRAM = """#!/bin/sh
echo "{name} $*" >>"$CALLS"
[ "{name} $*" != "${{FAILS:-}}" ]
"""
PREPARED = ["make install-dev", "make model", "make check", "make chaos"]
CLEARED = ["box reset", "box kafka reset"]
STARTED = ["box up", "box policies on"]


class Place:
    """A copy of .ci/run among a make and a box that only note how they are called."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = folder / "calls"
        (folder / "main" / ".ci").mkdir(parents=True)
        shutil.copy(RUN, folder / "main" / ".ci")
        self.programs = self.program("bin/make").parent
        self.box = self.program("shared/box/box")

    def program(self, name):
        """Make a program that notes its call and fails if that is the one in FAILS."""
        path = self.folder / name
        path.parent.mkdir(parents=True)
        path.write_text(PROGRAM.format(name=path.name))
        path.chmod(0o755)
        return path

    def run(self, **env):
        """Run it; return what it ended with and what it called."""
        given = {"PATH": f"{self.programs}:{os.environ['PATH']}", "CALLS": str(self.calls), **env}
        done = subprocess.run(
            [self.folder / "main" / ".ci" / "run"],
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture(name="place")
def _place(tmp_path):
    return Place(tmp_path)


def test_every_stage_runs_once_and_is_timed(place):
    """The box is cleared first, its tests come last, and it is down at the end."""
    done, calls = place.run()
    assert done.returncode == 0
    assert calls == [*CLEARED, *PREPARED, *STARTED, "make cluster-test", "box down"]
    timed = [line for line in done.stdout.splitlines() if " took " in line]
    assert len(timed) == len(PREPARED) + 4


def test_late_box_leaves_the_core(place):
    """A box that is ready too late for all cluster tests gets the core of them."""
    done, calls = place.run(BOX_READY_BY_S="-1")
    assert done.returncode == 0
    assert "make cluster-test CLUSTER=-m core" in calls
    assert "make cluster-test" not in calls


@pytest.mark.parametrize("stage", PREPARED)
def test_failed_stage_fails_all(place, stage):
    """Nothing runs after a stage that failed, but the box is down again."""
    done, calls = place.run(FAILS=stage)
    assert done.returncode != 0
    assert calls == [*CLEARED, *PREPARED[: PREPARED.index(stage) + 1], "box down"]


def test_failed_cluster_tests_fail_all(place):
    """A red cluster test makes CI red."""
    done, _ = place.run(FAILS="make cluster-test")
    assert done.returncode != 0


def test_box_that_cannot_start_fails(place):
    """A box that does not come up is one clear line, and no test is skipped for it."""
    done, calls = place.run(FAILS="box up")
    assert done.returncode != 0
    assert "CI FAILED: the box does not run here" in done.stderr
    assert not any("cluster-test" in call for call in calls)


def test_policies_must_be_enforced(place):
    """A box that enforces no policies fails: the tests would show nothing of them."""
    done, calls = place.run(FAILS="box policies on")
    assert done.returncode != 0
    assert "CI FAILED: the box enforces no NetworkPolicies" in done.stderr
    assert not any("cluster-test" in call for call in calls)


def test_no_cluster_runs_the_rest(place):
    """Where there is neither box nor cluster all else runs, and the last line says what did not."""
    place.box.unlink()
    done, calls = place.run()
    assert done.returncode == 0
    assert calls == PREPARED
    assert done.stdout.splitlines()[-1].startswith("== NOT RUN: the cluster tests.")


def test_given_cluster_is_used(place):
    """A cluster that KUBECONFIG names takes the box's place."""
    done, calls = place.run(KUBECONFIG="some-cluster")
    assert done.returncode == 0
    assert calls == [*PREPARED, "make cluster-test"]


def test_core_is_four_tests():
    """The core of the cluster tests is the four that CI promises."""
    command = ["-m", "pytest", "--collect-only", "-m", "core", "tests/cluster"]
    done = subprocess.run(
        [sys.executable, *command], cwd=RUN.parents[1], capture_output=True, text=True, check=False
    )
    assert sum("::" in line for line in done.stdout.splitlines()) == 4
