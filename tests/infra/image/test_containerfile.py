"""What the image's recipe promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.infra.standins import ROOT


@pytest.fixture(scope="module", name="steps")
def _steps():
    """The Containerfile's instructions in their order, each on one line."""
    text = (ROOT / "infra" / "image" / "Containerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [re.sub(r" +", " ", line) for line in lines if line.strip()]


def _copies(steps):
    """Sources and target of each COPY from the context."""
    plain = (step.split()[1:] for step in steps if step.startswith("COPY "))
    return [words for words in plain if not words[0].startswith("--")]


def test_bases_are_named_exactly(steps):
    """Each stage begins with one pinned base or an earlier stage, never with `latest`."""
    begun = set()
    for words in (step.split() for step in steps if step.startswith("FROM ")):
        assert words[1] == "python:3.11-slim-bookworm" or words[1] in begun
        begun |= set(words[3:])
    assert "latest" not in "".join(steps)


def test_image_is_not_root(steps):
    """The last stage runs as a numbered user that is not root, so Kubernetes can see that."""
    last = max(i for i, step in enumerate(steps) if step.startswith("FROM "))
    assert [step for step in steps[last:] if step.startswith("USER")] == ["USER 65532:65532"]
    assert not any(step.startswith("RUN") for step in steps[steps.index("USER 65532:65532") :])


def test_code_comes_last(steps):
    """A change of the code rebuilds neither the model's layer nor that of the requirements."""
    begins = max(i for i, step in enumerate(steps) if step.startswith("FROM "))
    assert steps[begins] == "FROM environment"
    copies = [step for step in steps[begins:] if step.startswith("COPY ")]
    assert copies[0] == "COPY --from=model /layer /opt/linewatch"
    assert any(step.startswith("COPY functions ") for step in copies[1:])
    assert not [step for step in steps[begins:] if "pip" in step or "apt-get" in step]


def test_requirements_are_checked(steps):
    """Every package is a wheel from the lock, with its hash; srt is published as source only."""
    installs = [step for step in steps if " install " in step and "pip" in step]
    assert installs
    checked = "--require-hashes --only-binary :all: --no-binary srt -r /src/requirements.txt"
    assert all(checked in step for step in installs)


def test_bytecode_is_compiled(steps):
    """Library, packages and code are compiled, so that no start does it again."""
    compiled = [step for step in steps if "compileall" in step]
    assert len(compiled) == 3
    assert all("unchecked-hash" in step or "stdlib" in step for step in compiled)
    assert any("PYTHONDONTWRITEBYTECODE=1" in step for step in steps if step.startswith("ENV"))


def test_no_host_is_named(steps):
    """Where packages and bases come from is the builder's business."""
    assert not [step for step in steps if "://" in step or "--index" in step]


def test_context_holds_what_is_copied(steps):
    """Whatever the recipe copies is in the tree, and .dockerignore lets the builder see it."""
    seen = (ROOT / ".dockerignore").read_text().splitlines()
    for words in _copies(steps):
        for source in words[:-1]:
            assert source == "mode[l]" or list(ROOT.glob(source)), source
            top = "model" if source == "mode[l]" else source.split("/")[0]
            assert f"!{top}" in seen, top


def test_model_stage_is_enough(steps, tmp_path):
    """The modules that the model's stage copies import each other and no more of the project."""
    for words in _copies(steps):
        if words[-1].startswith("/src/") and "requirements.txt" not in words[0]:
            target = tmp_path / words[-1].removeprefix("/src/")
            target.mkdir(parents=True, exist_ok=True)
            for source in words[:-1]:
                if source != "mode[l]":
                    shutil.copy(ROOT / source, target)
    env = {**os.environ, "PYTHONPATH": "functions:."}
    command = [sys.executable, "-c", "import infra.image.model_layer"]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-800:]


def test_scorer_ignores_neighbours():
    """The sentiment function imports none of the other roles' packages that lie beside its own."""
    heavy = ["pandas", "pyarrow", "streamlit", "vosk", "redis", "kafka"]
    code = f"""
import sys, importlib
for name in ("linewatch.sentiment.app", "linewatch.sentiment.scorer"): importlib.import_module(name)
from linewatch.sentiment import warmup
warmup.load()
print(sorted(set({heavy}) & set(sys.modules)))"""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "functions")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
