"""The image's context and who builds it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import pytest

from tests.infra.standins import ROOT


@pytest.fixture(name="tree")
def _tree(tmp_path):
    """A small work tree with the staging script, under git."""
    tree = tmp_path / "tree"
    for name in ("functions/a.py", "eventing/b.yaml", "tests/c.py", "infra/image/Containerfile"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    shutil.copy(ROOT / "infra" / "image" / "build.sh", tree / "infra" / "image")
    (tree / ".gitignore").write_text("__pycache__/\n")
    (tree / "functions" / "__pycache__").mkdir()
    (tree / "functions" / "__pycache__" / "a.pyc").write_text("")
    subprocess.run(["git", "init", "-q", tree], check=True)
    subprocess.run(["git", "-C", tree, "add", "-A"], check=True)
    return tree


def _image(tree, *arguments, **env):
    command = ["sh", tree / "infra" / "image" / "build.sh", *arguments]
    told = {**os.environ, "LINEWATCH_HOME": str(tree / "home"), **env}
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False)


def _files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_stage_holds_the_parts(tree, tmp_path):
    """The staged context has the image's parts as they are now, and its recipe on top."""
    (tree / "functions" / "new.py").write_text("not added yet")
    assert _image(tree, "stage", tmp_path / "context").returncode == 0
    staged = _files(tmp_path / "context")
    assert {"Containerfile", "functions/a.py", "functions/new.py", "eventing/b.yaml"} <= staged
    assert not {name for name in staged if "__pycache__" in name or "tests" in name}


def test_stage_survives_removed_file(tree, tmp_path):
    """A file that git still knows but that is gone is left out."""
    (tree / "functions" / "a.py").unlink()
    assert _image(tree, "stage", tmp_path / "context").returncode == 0
    assert "functions/a.py" not in _files(tmp_path / "context")


def test_stage_takes_the_model(tree, tmp_path):
    """A model that was prepared here goes along, so that the build need not prepare it."""
    model = tree / "home" / "prepared" / "key" / "some-model"
    (model / "graph").mkdir(parents=True)
    (model / "graph" / "HCLG.fst").write_text("graph")
    python = tree / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho {shlex.quote(str(model))}\n")
    python.chmod(0o755)
    assert _image(tree, "stage", tmp_path / "context").returncode == 0
    assert "model/some-model/graph/HCLG.fst" in _files(tmp_path / "context")


def _program(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_build_asks_who_runs(tree, tmp_path):
    """A docker whose daemon is away is passed over for a podman or docker that answers."""
    programs = tmp_path / "programs"
    _program(programs, "podman", "exit 1")
    _program(programs, "docker", 'echo "$*"; ls "${6:-/}"')
    path = f"{programs}:{os.environ['PATH']}"
    done = _image(tree, "build", "linewatch:x", PATH=path)
    assert done.returncode == 0, done.stderr
    assert "-t linewatch:x" in done.stdout
    assert "made linewatch:x by docker" in done.stderr


def test_nobody_builds(tree, tmp_path):
    """Where no builder runs the build ends with one clear line."""
    programs = tmp_path / "programs"
    _program(programs, "podman", "exit 1")
    _program(programs, "docker", "exit 1")
    done = _image(tree, "build", "linewatch:x", PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr == "image: there is neither podman nor a running docker here\n"
