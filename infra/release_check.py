"""Whether this tree may be released: ``make release-check`` says what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from linewatch import __version__

ROOT: Final = Path(__file__).resolve().parents[1]
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_UNRELEASED: Final = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


def faults(version: str, changelog: str, changed: str) -> Iterator[str]:
    """Say what keeps *version* from being released.

    Args:
        version: As the code has it.
        changelog: The text of ``CHANGELOG.md``.
        changed: What ``git status --porcelain`` prints.
    """
    if not _VERSION.fullmatch(version):
        yield f"version {version!r} must be three numbers: mend functions/linewatch/__init__.py"
    entry = re.search(rf"^## \[{re.escape(version)}\].*\n+(.*)", changelog, re.MULTILINE)
    if not entry:
        yield f"CHANGELOG.md has no entry [{version}]: say what users get"
    unreleased = _UNRELEASED.search(changelog)
    if unreleased and unreleased[1].strip():
        yield f"CHANGELOG.md has changes under [Unreleased]: move them to [{version}]"
    if changed.strip():
        yield f"the work tree has changes: commit them first\n{changed.rstrip()}"


def main() -> int:
    """Print what is missing; return the exit status."""
    git = ("git", "status", "--porcelain")
    changed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own command line
    wrong = [*faults(__version__, (ROOT / "CHANGELOG.md").read_text(), changed)]
    for each in wrong:
        sys.stderr.write(f"release-check: {each}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
