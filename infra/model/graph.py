"""The static decoding graph, built once from the two halves a small Vosk model ships.

Vosk composes HCLr.fst with Gr.fst anew in every recognizer; composed once, a
recognizer costs 0.3 ms instead of 60 and decoding a quarter. Needs Debian's
libfst-tools and libfst22-plugins-base.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.model.progress import Progress

PACKAGES: Final = "libfst-tools libfst22-plugins-base"

_TOOLS: Final = ("fstsymbols", "fstconvert", "fstcompose", "fstrelabel")
_PLUGIN: Final = "olabel_lookahead-fst.so"
#: Larger halves would compose to tens of gigabytes.
_LARGEST_HALVES_BYTES: Final = 100_000_000
#: What the steps take of the whole, measured: 50 to 75 s.
_EXPECTED_S: Final = 60.0

# The head of an OpenFst file: a number, two names, then version, flags, properties,
# start, states, arcs.
_MAGIC: Final = 2_125_659_606
_HEAD: Final = struct.Struct("<iiQqqq")
_MOST_NAME_BYTES: Final = 64
_STATE_BYTES: Final = 20
_ARC_BYTES: Final = 16


class GraphUnavailable(Exception):
    """The static graph cannot be built here; the message says why."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a graph is."""

    states: int
    arcs: int


#: The graph of vosk-model-small-en-us-0.15, by the sha256 of its HCLr.fst and Gr.fst.
KNOWN_SIZES: Final = {
    (
        "5caafba3081e1646545ac6bff0dd7a318e53dcbdc86f237909ce1d2ac1293d34",
        "023c8b7e30704a9e37765c635c252e608a02f361235bf94abdcf2a5225d85b20",
    ): Size(states=2_989_492, arcs=10_355_846),
}


def check(graph: Path) -> None:
    """Tell whether the halves in *graph* can be composed here.

    Raises:
        GraphUnavailable: tools or halves are missing, or the halves are too large.
    """
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing or not _plugins():
        raise GraphUnavailable(f"run `apt-get install {PACKAGES}` and start again")
    halves = [graph / name for name in ("HCLr.fst", "Gr.fst", "disambig_tid.int")]
    if not all(half.is_file() for half in halves):
        raise GraphUnavailable("the model has no HCLr.fst and Gr.fst")
    if sum(half.stat().st_size for half in halves) > _LARGEST_HALVES_BYTES:
        raise GraphUnavailable("the model is too large for a static graph")


def build(graph: Path, target: Path, known: Size | None, progress: Progress) -> None:
    """Compose the halves in *graph* into HCLG.fst and words.txt in folder *target*.

    Args:
        graph: The folder with HCLr.fst, Gr.fst and disambig_tid.int.
        target: Where the two files go; files of 200 MB lie there meanwhile.
        known: The size the graph must have, if that is known.
        progress: Called with how far it has come.

    Raises:
        GraphUnavailable: a step failed, or the graph is not what it must be.
    """
    work = target / "work"
    work.mkdir()
    _write_relabelling(graph, work)
    began = time.monotonic()
    for command in _steps(graph, work, target):
        for _ in _run(command):
            spent_s = time.monotonic() - began
            progress.reached(min(0.99, spent_s / _EXPECTED_S), command[0])
    found = size(target / "HCLG.fst")
    if not found.states or not found.arcs or (known and found != known):
        raise GraphUnavailable(f"the graph has {found}, expected {known}")
    shutil.rmtree(work)
    progress.done()


def _write_relabelling(graph: Path, work: Path) -> None:
    numbers = (graph / "disambig_tid.int").read_text().split()
    (work / "relabel.txt").write_text("".join(f"{number} 0\n" for number in numbers))


def _steps(graph: Path, work: Path, target: Path) -> Iterator[list[str]]:
    words, names = target / "words.txt", [work / f"{step}.fst" for step in "abcd"]
    plain, ngram, composed, relabelled = names
    # With its symbols fstcompose writes a file that it cannot read back.
    clear = ("--clear_isymbols", "--clear_osymbols")
    yield _line("fstsymbols", *clear, f"--save_osymbols={words}", graph / "Gr.fst", plain)
    yield _line("fstconvert", "--fst_type=ngram", plain, ngram)
    yield _line("fstcompose", graph / "HCLr.fst", ngram, composed)
    # Disambiguation symbols become epsilon.
    pairs = f"--relabel_ipairs={work / 'relabel.txt'}"
    yield _line("fstrelabel", pairs, composed, relabelled)
    yield _line("fstconvert", "--fst_type=const", relabelled, target / "HCLG.fst")


def _line(*parts: str | Path) -> list[str]:
    return [str(part) for part in parts]


def _run(command: list[str]) -> Iterator[None]:
    """Run *command*, yielding now and then until it ends; it never outlives us."""
    with subprocess.Popen(  # noqa: S603 - our own command line
        command, env=_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while True:
                yield
                try:
                    _, said = process.communicate(timeout=0.25)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    if process.returncode:
        raise GraphUnavailable(f"{command[0]} failed: {said.strip()[:300]}")


def size(file: Path) -> Size:
    """Read how large the const FST in *file* is.

    Raises:
        GraphUnavailable: it is not a const FST, or was cut short.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEAD.size + 2 * _MOST_NAME_BYTES)
    try:
        magic, kind, at = *struct.unpack_from("<i", head), *_name(head, 4)
        _, at = _name(head, at)
        *_, states, arcs = _HEAD.unpack_from(head, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise GraphUnavailable(f"{file.name} is not an FST") from error
    if magic != _MAGIC or kind != "const":
        raise GraphUnavailable(f"{file.name} is not a const FST")
    whole = at + _HEAD.size + states * _STATE_BYTES + arcs * _ARC_BYTES
    if file.stat().st_size < whole:
        raise GraphUnavailable(f"{file.name} was cut short")
    return Size(states, arcs)


def _name(head: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<i", head, at)
    end = at + 4 + min(max(length, 0), _MOST_NAME_BYTES)
    return head[at + 4 : end].decode(), end


def _plugins() -> Path | None:
    for base in (Path("/usr/lib"), Path("/usr/local/lib")):
        for found in base.glob(f"**/{_PLUGIN}"):
            return found.parent
    return None


def _environment() -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(_plugins() or "")}
