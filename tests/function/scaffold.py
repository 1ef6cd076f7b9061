"""Func's scaffold around the function, rebuilt offline and with no package of another role.

`kn func` writes ``.func/build`` beside the function: a distribution that needs func-python and
the function itself, and a main module that serves what the function's ``new`` makes. The
environment here holds only what the function declares, linked from where the tests run.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ALWAYS_OUT = (".git", ".func")
_PYPROJECT = """
[project]
name = "service"
version = "0.1.0"
dependencies = ["func-python==0.8.1", "function @ {function}"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
packages = ["service"]
"""
_MAIN = """
from func_python.http import serve
from function import new

serve(new)
"""


def copy_of(root, target):
    """Copy what .funcignore lets func see of *root* to *target*."""
    lines = (root / ".funcignore").read_text().splitlines()
    patterns = [*_ALWAYS_OUT, *(line for line in lines if line and not line.startswith("#"))]

    def is_out(folder, name):
        at_top = Path(folder) == root
        bare = (pattern.rstrip("/") for pattern in patterns)
        return any(
            (at_top and name == pattern[1:])
            if pattern[0] == "/"
            else fnmatch.fnmatch(name, pattern)
            for pattern in bare
        )

    def left_out(folder, names):
        return {name for name in names if is_out(folder, name)}

    shutil.copytree(root, target, ignore=left_out)


def write(root):
    """Write func's folder into the function at *root* and return it."""
    build = root / ".func" / "build"
    (build / "service").mkdir(parents=True)
    (build / "f").symlink_to("../..")
    (build / "pyproject.toml").write_text(_PYPROJECT.format(function=(build / "f").as_uri()))
    (build / "service" / "main.py").write_text(_MAIN)
    return build


def install(build, environment):
    """Install the scaffold into a new *environment*, offline, and return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python3*/site-packages")
    for name in _closure(["func-python", "setuptools", *_declared(build / "f")]):
        _link(metadata.distribution(name), site)
    told = ("--quiet", "--no-index", "--no-build-isolation", "--no-cache-dir")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", *told, build],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONPATH": ""},
    )
    return python


def _declared(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]


def _closure(wanted):
    """Name all that the requirements *wanted* need, themselves included."""
    waiting, seen = [Requirement(line) for line in wanted], set()
    while waiting:
        each = waiting.pop()
        extras = each.extras or {""}
        mark = (canonicalize_name(each.name), frozenset(extras))
        if mark in seen:
            continue
        seen.add(mark)
        for line in metadata.requires(each.name) or ():
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return {name for name, _ in seen}


def _link(distribution, site):
    """Make one installed distribution visible in another folder of packages."""
    tops = {file.parts[0] for file in distribution.files}
    for top in sorted(tops - {"..", "__pycache__"}):
        if not (site / top).exists():
            (site / top).symlink_to(distribution.locate_file(top))
