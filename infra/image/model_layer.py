"""The image's layer of the model: ``python -m infra.image.model_layer FOLDER``.

Puts into *FOLDER* the prepared model of each profile, as ``models/PROFILE/NAME``, and, as
``decoder.env``, what a decoder's environment must hold, for the shell that starts it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.model import preparation
from linewatch.decoder.recognition import model_folder
from linewatch.decoder.recognition.model_folder import HASHES, Layout, file_hash
from linewatch.errors import SettingsError

#: A whole second: a layer keeps no finer times, and the kept hashes hold for these.
_CHANGED_S: Final = 1_600_000_000
_NS_PER_S: Final = 1_000_000_000
_WRONG: Final = 2


def lay_out(prepared: Path, folder: Path, env: Mapping[str, str]) -> None:
    """Put the model of *prepared*, a live one, and the decoder's *env* into *folder*.

    Raises:
        SettingsError: the model has no static graph, which an image must not lack.
    """
    if not Layout.of(prepared).is_static:
        raise SettingsError("the image needs the static graph: see why it was not built, above")
    live = folder / "models" / "live" / prepared.name
    shutil.copytree(prepared, live, copy_function=shutil.copyfile)
    hashes = {name: entry[2] for name, entry in model_folder.hashes(live).items()}
    _keep_hashes(live, hashes)
    for profile in preparation.PROFILES.keys() - {"live"}:
        _lay_out_beside(live, folder / "models" / profile / live.name, profile, hashes)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items())]
    (folder / "decoder.env").write_text("".join(lines))


def _lay_out_beside(live: Path, target: Path, profile: str, hashes: Mapping[str, str]) -> None:
    """Make the model of another *profile*: links to what is the same, its own conf."""
    for name in hashes:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(os.path.relpath(live / name, (target / name).parent))
    preparation.write_conf(Layout.of(target), preparation.PROFILES[profile])
    own = {path for path in target.rglob("*") if path.is_file() and not path.is_symlink()}
    changed = {path.relative_to(target).as_posix(): file_hash(path) for path in own}
    _keep_hashes(target, {**hashes, **changed})


def _keep_hashes(folder: Path, hashes: Mapping[str, str]) -> None:
    """Keep the *hashes* of the files in *folder* for the times that they have in a layer."""
    for path in folder.rglob("*"):
        os.utime(path, (_CHANGED_S, _CHANGED_S))
    kept = {
        name: ((folder / name).stat().st_size, _CHANGED_S * _NS_PER_S, digest)
        for name, digest in hashes.items()
    }
    model_folder.keep_hashes(folder / HASHES, kept)


def main(arguments: list[str]) -> int:
    """Make the layer; 2 when there is no model for it."""
    folder = Path(arguments[0])
    try:
        lay_out(preparation.prepare(), folder, preparation.decoder_env())
    except SettingsError as error:
        preparation.to_stderr(error.detail)
        return _WRONG
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
