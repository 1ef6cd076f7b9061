"""The kustomize that renders the overlays: the machine's own, else one built from its Go module.

::

    python -m infra.manifests.kustomize                         # find or build it, say which
    python -m infra.manifests.kustomize infra/overlays/prod    # render
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from linewatch.errors import SettingsError

#: The version that kubectl 1.35 has inside.
VERSION: Final = "v5.7.1"
_MODULE: Final = f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"
#: Where an own build lies.
ROOT: Final = Path(__file__).resolve().parents[2]
BUILT: Final = ROOT / ".linewatch" / "bin" / f"kustomize-{VERSION}"
_NONE: Final = (
    "there is no kustomize to render the overlays with: install kubectl, kustomize or go (which "
    "builds it), or set KUSTOMIZE to the program"
)
_WRONG: Final = 2

Command = tuple[str, ...]


def command(env: Mapping[str, str], built: Path = BUILT) -> Command:
    """Return the command that renders the folder it is given; build *built* where there is none.

    Raises:
        SettingsError: no such command is here or can be built; says what to install.
    """
    found = _named(env) or _on_path(env)
    return found or (_build(env, built), "build")


def _named(env: Mapping[str, str]) -> Command | None:
    name = env.get("KUSTOMIZE")
    if not name:
        return None
    program = shutil.which(name, path=env.get("PATH"))
    if program is None:
        raise SettingsError(
            f"KUSTOMIZE={name} is not a program: set it to a kustomize, or unset it"
        )
    return (program, _verb(program))


def _on_path(env: Mapping[str, str]) -> Command | None:
    for name in ("kustomize", "kubectl"):
        program = shutil.which(name, path=env.get("PATH", ""))
        if program:
            return (program, _verb(program))
    return None


def _verb(program: str) -> str:
    return "kustomize" if Path(program).name.startswith("kubectl") else "build"


def _build(env: Mapping[str, str], built: Path) -> str:
    """Build *built* unless it is there; of several processes one builds and the others wait."""
    if built.exists():
        return str(built)
    go = shutil.which("go", path=env.get("PATH", ""))
    if go is None:
        raise SettingsError(_NONE)
    built.parent.mkdir(parents=True, exist_ok=True)
    with (built.parent / "kustomize.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _install(go, env, built)
    return str(built)


def _install(go: str, env: Mapping[str, str], built: Path) -> None:
    sys.stderr.write(f"kustomize: building {VERSION}, about a minute\n")
    with TemporaryDirectory(prefix=".kustomize-", dir=built.parent) as folder:
        done = subprocess.run(  # noqa: S603 - our own command line
            [go, "install", _MODULE],
            env={**env, "GOBIN": folder, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SettingsError(f"go could not build kustomize ({_last(done.stderr)}): {_NONE}")
        # A rename: nobody sees half a program.
        (Path(folder) / "kustomize").rename(built)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it did not say why"


def render(folder: Path, by: Command) -> str:
    """Return what kustomize makes of *folder*.

    Raises:
        SettingsError: it refuses the folder; says why.
    """
    done = subprocess.run(  # noqa: S603 - our own command line
        [*by, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SettingsError(f"{folder}: {_last(done.stderr)}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Say which kustomize there is, or print what it makes of a folder; return the exit status."""
    try:
        by = command(os.environ)
        text = render(Path(arguments[0]), by) if arguments else f"{' '.join(by)}\n"
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return _WRONG
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
