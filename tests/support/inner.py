"""A run of pytest inside a test, with the project's settings and conftest."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.source import ROOT


def run(folder, text, **env):
    """Run the tests in *text*, a module, with *env* beside the environment; return what ended."""
    file = folder / "test_inner.py"
    file.write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    return subprocess.run(
        [*command, "-p", "tests.conftest", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"functions:{ROOT}", **env},
        capture_output=True,
        text=True,
        check=False,
    )
