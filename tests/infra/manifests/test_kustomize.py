"""Which kustomize is taken, and how one is built where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.manifests import kustomize
from linewatch.errors import SettingsError
from tests.infra.standins import IMPORTS

#: A go that counts how often it builds, takes its time, and makes a program that says its name.
_GO = """#!/bin/sh
test "$1" = install && test "$2" = sigs.k8s.io/kustomize/kustomize/v5@{version}
echo built >>"$BUILDS"
echo half >"$GOBIN/kustomize"
/bin/sleep 0.3
printf '#!/bin/sh\\necho "$@"\\n' >"$GOBIN/kustomize"
/bin/chmod +x "$GOBIN/kustomize"
"""


def _program(folder, name, text="#!/bin/sh\n"):
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


@pytest.fixture(name="built")
def _built(tmp_path):
    """Where an own build goes."""
    return tmp_path / "state" / "bin" / "kustomize-x"


@pytest.fixture(name="go")
def _go(tmp_path):
    """An environment whose only program is a go."""
    _program(tmp_path / "go", "go", _GO.format(version=kustomize.VERSION))
    return {"PATH": str(tmp_path / "go"), "BUILDS": str(tmp_path / "builds")}


def test_named_one_is_first(tmp_path, built):
    """KUSTOMIZE names the program, and a kubectl is asked by its own verb."""
    env = {"PATH": str(tmp_path / "path"), "KUSTOMIZE": _program(tmp_path / "a", "kustomize5")}
    _program(tmp_path / "path", "kustomize")
    assert kustomize.command(env, built) == (env["KUSTOMIZE"], "build")
    env["KUSTOMIZE"] = _program(tmp_path / "a", "kubectl-1.35")
    assert kustomize.command(env, built) == (env["KUSTOMIZE"], "kustomize")


def test_path_is_second(tmp_path, built):
    """On PATH a kustomize goes before a kubectl, and both before an own build."""
    env = {"PATH": str(tmp_path / "path")}
    _program(built.parent.parent, "x")
    _program(built.parent, built.name)
    assert kustomize.command(env, built) == (str(built), "build")
    kubectl = _program(tmp_path / "path", "kubectl")
    assert kustomize.command(env, built) == (kubectl, "kustomize")
    own = _program(tmp_path / "path", "kustomize")
    assert kustomize.command(env, built) == (own, "build")


def test_missing_one_is_said(built):
    """Where there is none, nor a go to build it, one line says what to install."""
    with pytest.raises(SettingsError) as told:
        kustomize.command({"PATH": ""}, built)
    assert "install kubectl, kustomize or go" in told.value.detail
    with pytest.raises(SettingsError, match="KUSTOMIZE=/nowhere is not a program"):
        kustomize.command({"PATH": "", "KUSTOMIZE": "/nowhere"}, built)


def test_failed_build_is_said(tmp_path, built):
    """A go that fails is quoted by its last line, and leaves nothing behind."""
    _program(tmp_path / "go", "go", "#!/bin/sh\necho first >&2\necho no such host >&2\nexit 1\n")
    with pytest.raises(SettingsError) as told:
        kustomize.command({"PATH": str(tmp_path / "go")}, built)
    assert told.value.detail.startswith("go could not build kustomize (no such host): ")
    assert not [*built.parent.glob("*kustomize-*")]


def test_two_build_once(tmp_path, built, go):
    """Of two processes one builds, the other waits for it, and both get the whole program."""
    code = (
        "import os, sys, pathlib; from infra.manifests import kustomize\n"
        "by = kustomize.command(os.environ, pathlib.Path(sys.argv[1]))\n"
        "print(kustomize.render(pathlib.Path('folder'), by), end='')"
    )
    env = {**IMPORTS, **go}
    command = [sys.executable, "-c", code, str(built)]
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate(timeout=60)[0] for each in both] == ["build folder\n"] * 2
    assert Path(go["BUILDS"]).read_text() == "built\n"


def test_refused_folder_is_said(tmp_path, built):
    """What kustomize refuses is named with its last word."""
    by = (_program(tmp_path, "kustomize", "#!/bin/sh\necho no kustomization >&2\nexit 1\n"),)
    with pytest.raises(SettingsError, match="lost: no kustomization"):
        kustomize.render(Path("lost"), by)


def test_command_renders(tmp_path, monkeypatch, capsys):
    """The command says which one it found, prints what that makes, or says in a line why not."""
    program = _program(tmp_path, "kustomize", '#!/bin/sh\necho "$@"\n')
    monkeypatch.setenv("KUSTOMIZE", program)
    assert kustomize.main([]) == 0
    assert kustomize.main(["folder"]) == 0
    assert capsys.readouterr().out == f"{program} build\nbuild folder\n"
    monkeypatch.setenv("KUSTOMIZE", "/nowhere")
    assert kustomize.main([]) == 2
    assert "KUSTOMIZE=/nowhere" in capsys.readouterr().err
