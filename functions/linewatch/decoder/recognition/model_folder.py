"""A prepared model folder: whether it may be used, and the digest of all the words depend on.

`infra.model` prepares such folders; any Vosk model with ``--dither=0`` is one.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from linewatch.decoder.recognition import frontend, gate, lengths
from linewatch.errors import SettingsError

#: Beside the model's files: their hashes, so that they are read once and not at each start.
HASHES: Final = "linewatch-hashes.json"
_PREPARE: Final = "run `python -m infra.model` and set VOSK_MODEL_PATH to the folder it prints"
_NO_DITHER: Final = re.compile(r"^\s*--dither=0(\.0*)?\s*$", re.MULTILINE)
_FRAMES_PER_CHUNK: Final = re.compile(r"^\s*--frames-per-chunk=(\d+)\s*$", re.MULTILINE)
_DENSE_FRAMES: Final = 51
_BLOCK_BYTES: Final = 1 << 20

#: Size in bytes, time of change in ns, sha256 in hex.
Entry = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model folder is: *digest* for events, *profile* for people."""

    digest: str
    profile: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the two generations of Vosk models keep what we change.

    The newer one has ``conf/`` and ``graph/``, the older one everything at the top.
    """

    mfcc_conf: Path
    model_conf: Path
    graph: Path

    @classmethod
    def of(cls, folder: Path) -> Layout:
        """Find the layout of *folder*.

        Raises:
            SettingsError: there is no model.
        """
        new = cls(folder / "conf" / "mfcc.conf", folder / "conf" / "model.conf", folder / "graph")
        old = cls(folder / "mfcc.conf", folder / "model.conf", folder)
        for layout in (new, old):
            if layout.mfcc_conf.is_file():
                return layout
        raise SettingsError(f"there is no Vosk model in {folder}: {_PREPARE}")

    @property
    def is_static(self) -> bool:
        """Whether the decoding graph is one static file."""
        return (self.graph / "HCLG.fst").is_file()


def read(folder: Path) -> Facts:
    """Check the prepared model in *folder* and describe it.

    Raises:
        SettingsError: there is no model, or it still has Kaldi's random dither.
    """
    layout = Layout.of(folder)
    if not _NO_DITHER.search(layout.mfcc_conf.read_text()):
        raise SettingsError(f"{layout.mfcc_conf} lacks --dither=0, so words are random: {_PREPARE}")
    profile = {
        "model": folder.name,
        "graph": "static" if layout.is_static else "shipped",
        "profile": _profile(layout),
        "kernels": _kernels(os.environ),
        "allocator": _allocator(),
        "vosk": version("vosk"),
        "frontend": frontend.fingerprint(),
        "gate": gate.fingerprint(),
        "edges": lengths.fingerprint(),
    }
    files = hashes(folder, kept_hashes(folder / HASHES))
    return Facts(_digest({name: each[2] for name, each in files.items()}, profile), profile)


def hashes(folder: Path, known: Mapping[str, Entry] | None = None) -> dict[str, Entry]:
    """Return size, time and sha256 of every file of the model.

    A file that *known* lists with the same size and time is not read again.
    """
    known = known or {}
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != HASHES:
            found[name] = _hashed(path, known.get(name))
    return found


def kept_hashes(file: Path) -> dict[str, Entry]:
    """Read what `keep_hashes` wrote; nothing if it cannot be read."""
    try:
        raw = json.loads(file.read_text())
        return {str(name): (int(e[0]), int(e[1]), str(e[2])) for name, e in raw.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def keep_hashes(file: Path, found: Mapping[str, Entry]) -> None:
    """Write *found* so that the next start need not read the files."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(found, indent=1))
    beside.replace(file)


def file_hash(path: Path) -> str:
    """Return the sha256 of one file in hex."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _hashed(path: Path, known: Entry | None) -> Entry:
    stat = path.stat()
    if known and known[:2] == (stat.st_size, stat.st_mtime_ns):
        return known
    return stat.st_size, stat.st_mtime_ns, file_hash(path)


def _digest(files: Mapping[str, str], profile: Mapping[str, str]) -> str:
    # The folder's own name changes no word.
    hashed = {name: fact for name, fact in profile.items() if name != "model"}
    return sha256(json.dumps([files, hashed], sort_keys=True).encode()).hexdigest()[:32]


def _profile(layout: Layout) -> str:
    found = _FRAMES_PER_CHUNK.search(_text(layout.model_conf))
    return "dense" if found and int(found[1]) >= _DENSE_FRAMES else "live"


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _kernels(env: Mapping[str, str]) -> str:
    """Name the BLAS kernels; unpinned, they follow from the processor."""
    pinned = env.get("OPENBLAS_CORETYPE")
    return f"{platform.machine()} {pinned or 'unpinned: ' + _processor()}"


def _processor() -> str:
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _allocator() -> str:
    """Tell which allocator this process runs on: it moves the last digits of confidences."""
    return "jemalloc" if "libjemalloc" in _text(Path("/proc/self/maps")) else "malloc"
