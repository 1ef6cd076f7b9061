"""The demos against a played cluster: each passes, puts back what it changed, and can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.infra.standins import ROOT

DEMOS = ROOT / "infra" / "cluster_demos"
STAND_IN = ROOT / "tests" / "infra" / "cluster_demos" / "stand_in.py"
SCALE = {"min-scale": "1", "max-scale": "1"}
SENTIMENT, SCALE_OUT, SPLIT, DELETED, SPREAD = sorted(each.name for each in DEMOS.glob("[0-9]*.sh"))


class Stage:
    """A cluster on which eight lines speak, with one decoder that may not be more."""

    def __init__(self, folder):
        self._file = folder / "state.json"
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name in ("kubectl", "kn", "sleep"):
            program = self._programs / name
            program.write_text(f"#!{sys.executable} -IS\n{STAND_IN.read_text()}")
            program.chmod(0o755)
        pods = ["decoder-00001-deployment-0"]
        channels = {
            f"line-{number}/agent": {"owner": pods[0], "moves": 0, "seq": 5} for number in range(8)
        }
        self.state = {
            "lines": 8,
            "channels": channels,
            "sentiment": 0,
            "published": 0,
            "made": 1,
            "latest": "decoder-00001",
            "traffic": "@latest",
            "env": {},
            "notes": dict(SCALE),
            "calls": [],
            "revisions": [{"name": "decoder-00001", "pods": pods}],
        }

    def three(self):
        """Have three decoders, with the calls shared among them."""
        pods = [f"decoder-00001-deployment-{each}" for each in range(3)]
        self.state["revisions"][0]["pods"] = pods
        for number, each in enumerate(self.state["channels"].values()):
            each["owner"] = pods[number % 3]

    def play(self, demo, *faults, interrupt="", **env):
        """Run a demo: (exit status, what it said)."""
        self._file.write_text(
            json.dumps({**self.state, "faults": list(faults), "interrupt": interrupt})
        )
        path = f"{self._programs}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", str(DEMOS / demo)],
            env={"PATH": path, "STAND_IN": str(self._file), "PATIENCE": "0", **env},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        self.state = json.loads(self._file.read_text())
        return done.returncode, done.stdout + done.stderr

    def is_as_before(self):
        """Whether lines, scale, model and traffic are as they were."""
        names = ("lines", "notes", "env", "traffic")
        return [self.state[each] for each in names] == [8, SCALE, {}, "@latest"]


@pytest.fixture(name="stage")
def _stage(tmp_path):
    return Stage(tmp_path)


@pytest.mark.parametrize("demo", [SENTIMENT, SCALE_OUT, SPLIT, DELETED, SPREAD])
def test_passes_and_puts_back(stage, demo):
    """On a fresh `dev` every demo passes, and afterwards all is as it was."""
    code, told = stage.play(demo)
    assert code == 0, told
    assert stage.is_as_before()


@pytest.mark.parametrize(
    ("demo", "fault", "told"),
    [
        (SENTIMENT, "scores", "only 0 of 200 utterances were scored in 180 s"),
        (SENTIMENT, "wakes", "not by a pod of sentiment that woke"),
        (SENTIMENT, "sleeps", "s: sentiment has no pod"),
        (SCALE_OUT, "revision", "no new revision came"),
        (SCALE_OUT, "settles", "what was before has ended"),
        (SCALE_OUT, "spread", "no decoder owns more than 1.5 times its share"),
        (SCALE_OUT, "moves", "no decoder owns more than 1.5 times its share"),
        (SPLIT, "revision", "no new revision came"),
        (SPLIT, "moves", "both revisions own calls"),
        (DELETED, "moves", "every live call has an owner"),
        (DELETED, "steps", "every call that lives on took steps since"),
        (DELETED, "ends", "every call that lives on took steps since"),
        (SPREAD, "spread", "no decoder owns more than 1.5 times its share"),
    ],
)
def test_fails_and_puts_back(stage, demo, fault, told):
    """Where what it shows does not happen a demo fails with one line, and puts back the rest."""
    code, said = stage.play(demo, fault)
    failed = [line for line in said.splitlines() if line.startswith("FAILED: ")]
    assert (code, len(failed)) == (1, 1), said
    assert told in failed[0]
    assert stage.is_as_before()


@pytest.mark.parametrize(
    ("demo", "call"),
    [(SENTIMENT, "publish"), (SCALE_OUT, "--scale-max"), (SPLIT, "=50"), (SPREAD, "--scale-max")],
)
def test_interrupt_puts_back(stage, demo, call):
    """Ctrl-C in the middle of a demo puts back what it had changed until then."""
    code, told = stage.play(demo, interrupt=call)
    assert code == 130, told
    assert stage.is_as_before()


def test_absent_settings_go_again(stage):
    """A scale that was not set before is not set afterwards either."""
    stage.state["notes"] = {}
    code, told = stage.play(SCALE_OUT)
    assert (code, stage.state["notes"]) == (0, {}), told


def test_higher_limit_is_left(stage):
    """Where enough decoders are allowed, max-scale is not touched."""
    stage.state["notes"] = {"min-scale": "1", "max-scale": "10"}
    code, told = stage.play(SCALE_OUT)
    assert (code, "--scale-max" in " ".join(stage.state["calls"])) == (0, False), told


def test_own_model_is_kept(stage):
    """A model that was set before is set again after the split."""
    stage.state["env"] = {"VOSK_MODEL_PATH": "/mine"}
    code, told = stage.play(SPLIT)
    assert (code, stage.state["env"]) == (0, {"VOSK_MODEL_PATH": "/mine"}), told


def test_kept_for_the_next(stage):
    """With KEEP=1 the scale stays for a demo that follows, and what to undo is told."""
    code, told = stage.play(SCALE_OUT, KEEP="1")
    assert (code, stage.state["notes"]) == (0, {"min-scale": "3", "max-scale": "3"})
    assert "KEEP is set, so this is left to you: update decoder" in told
    code, told = stage.play(SPREAD, KEEP="1")
    assert (code, "decoder only" in told) == (0, False), told


def test_every_move_is_named(stage):
    """Each call that moved is named with the pod it left and the pod it is with now."""
    stage.three()
    code, told = stage.play(DELETED, POD="decoder-00001-deployment-1")
    assert code == 0, told
    moved = [line.strip() for line in told.splitlines() if " -> " in line]
    assert moved == [
        f"line-{number}/agent: decoder-00001-deployment-1 -> decoder-00001-deployment-1-again"
        for number in (1, 4, 7)
    ]
    assert "3 channels moved, 5 stayed" in told


def test_ended_calls_move_nothing(stage):
    """Where all calls of the deleted pod ended meanwhile nothing moved, and the demo fails."""
    stage.three()
    code, told = stage.play(DELETED, "ends")
    assert code == 1
    assert "FAILED: none of its calls was seen to move" in told


def test_others_must_stay(stage):
    """A call of another pod that moved is named, and the demo fails."""
    stage.three()
    code, told = stage.play(DELETED, "others", POD="decoder-00001-deployment-2")
    assert code == 1
    assert "line-0/agent: decoder-00001-deployment-0 -> decoder-00001-deployment-2-again" in told
    assert "FAILED: calls of others moved too" in told


def test_silent_cluster_gets_lines(stage):
    """Where nobody speaks a demo starts lines, and stops them again."""
    stage.state |= {"lines": 0, "channels": {}}
    code, told = stage.play(SCALE_OUT)
    assert (code, stage.state["lines"]) == (0, 0), told
    assert "no calls: scaling the gateway to 8 lines" in told


def test_foreign_calls_keep_awake(stage):
    """Calls that are none of the simulated lines' are not ended: the demo says so and fails."""
    stage.state["lines"] = 0
    code, told = stage.play(SENTIMENT)
    assert code == 1
    assert "s: no call is live: end those that are none of the" in told
