"""The model made ready: ``python -m infra.model`` prints the prepared folder.

Fetched and verified, then laid out anew: copies of the model's files, its conf without
random dither, and the static decoding graph. Done once, kept by the digest of its inputs.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from infra.model import download, graph
from infra.model.progress import Progress
from linewatch.decoder.recognition import model_folder
from linewatch.decoder.recognition.model_folder import HASHES, Entry, Layout
from linewatch.errors import SettingsError

#: Counts up when this module lays a folder out differently.
RECIPE: Final = 1
#: ``dense`` decodes in steps of 0.5 s: a fifth less CPU, a point more errors.
PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    "live": {"max-active": "1500"},
    "dense": {"max-active": "1500", "frames-per-chunk": "51"},
}

_HALVES: Final = frozenset({"HCLr.fst", "Gr.fst"})
_NO_MODEL_FILE: Final = re.compile(r"(README|LICENSE|SHA256SUMS).*|.*\.md|\..*")
_WRONG_SETTING: Final = 2

Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Say one line to the person at the terminal."""
    sys.stderr.write(f"{line}\n")


def home(env: Mapping[str, str] = os.environ) -> Path:
    """Return the folder where models are kept: LINEWATCH_HOME, else in the user's cache."""
    raw = env.get("LINEWATCH_HOME") or "~/.cache/linewatch"
    return Path(raw).expanduser().resolve()


def decoder_env() -> dict[str, str]:
    """Return what a decoder's environment must hold before it starts.

    The allocator saves a third of the CPU; kernels and allocator are part of the digest.
    """
    pinned = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    if platform.machine() == "x86_64":
        pinned["OPENBLAS_CORETYPE"] = "Haswell"
    allocator = next(iter(sorted(Path("/usr/lib").glob("*/libjemalloc.so.2"))), None)
    if allocator:
        pinned["LD_PRELOAD"] = str(allocator)
        # One arena: a recognizer is made by one thread and thrown away by another.
        pinned["MALLOC_CONF"] = "narenas:1"
    return pinned


def prepare(
    profile: str = "live", env: Mapping[str, str] = os.environ, say: Say = to_stderr
) -> Path:
    """Return the prepared folder, made now if it is not there; others wait meanwhile.

    Args:
        profile: One of `PROFILES`.
        env: VOSK_MODEL_PATH names a model of one's own, LINEWATCH_HOME where to keep things.
        say: Called with what is slower than it could be, and why.

    Raises:
        SettingsError: there is no such profile, or no model to be had.
    """
    if profile not in PROFILES:
        raise SettingsError(f"there is no profile {profile!r}: use one of {', '.join(PROFILES)}")
    given = env.get("VOSK_MODEL_PATH")
    if given and _is_prepared(given):
        return Path(given).expanduser().resolve()
    where = home(env)
    with _locked(where, say):
        source = _source(given, where, say)
        return _prepared(source, where, profile, say)


def shipped(env: Mapping[str, str] = os.environ, say: Say = to_stderr) -> Path:
    """Return the folder of the model as shipped, fetched now if it is not there.

    Raises:
        SettingsError: VOSK_MODEL_PATH names a prepared folder, or there is no model to be had.
    """
    given = env.get("VOSK_MODEL_PATH")
    if given and _is_prepared(given):
        raise SettingsError(
            f"VOSK_MODEL_PATH: {given} is prepared already: give the model it was made from"
        )
    where = home(env)
    with _locked(where, say):
        return _source(given, where, say)


def _is_prepared(given: str) -> bool:
    return (Path(given).expanduser() / HASHES).is_file()


@contextmanager
def _locked(where: Path, say: Say) -> Iterator[None]:
    where.mkdir(parents=True, exist_ok=True)
    with (where / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting: the model is being prepared by another process")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _clean(where)
        yield


def _clean(where: Path) -> None:
    """Remove what an interrupted run left; the lock keeps every other run away."""
    for left in where.glob("*/.*-*"):
        shutil.rmtree(left, ignore_errors=True)


def _source(given: str | None, where: Path, say: Say) -> Path:
    """Return the model as shipped."""
    if given:
        own = Path(given).expanduser().resolve()
        if own.name == download.NAME:
            _check(own)
        return own
    kept = where / "models" / download.NAME
    if kept.exists() and not download.wrong_files(kept):
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    download.fetch(kept, say)
    return kept


def _check(own: Path) -> None:
    wrong = download.wrong_files(own)
    if wrong:
        raise SettingsError(f"VOSK_MODEL_PATH: in {own} {', '.join(wrong)} are missing or differ")


def _prepared(source: Path, where: Path, profile: str, say: Say) -> Path:
    layout = Layout.of(source)
    hashes = _hashes(source, where)
    reason = _why_not_static(layout)
    if reason:
        _warn(say, reason)
    kind = "shipped" if reason or layout.is_static else "static"
    try:
        return _kept(source, where, profile, kind, hashes)
    except graph.GraphUnavailable as failed:
        _warn(say, str(failed))
        return _kept(source, where, profile, "shipped", hashes)


def _warn(say: Say, reason: str) -> None:
    say(f"no static decoding graph, so decoding is 4x slower and takes 100 MB a stream: {reason}")


def _kept(source: Path, where: Path, profile: str, kind: str, hashes: Mapping[str, Entry]) -> Path:
    folder = where / "prepared" / _key(hashes, profile, kind) / source.name
    if not _is_whole(folder):
        _lay_out(source, folder, profile, kind, hashes)
    return folder


def _why_not_static(layout: Layout) -> str:
    if layout.is_static:
        return ""
    try:
        graph.check(layout.graph)
    except graph.GraphUnavailable as reason:
        return str(reason)
    return ""


def _hashes(source: Path, where: Path) -> dict[str, Entry]:
    """Hash the model's files, once: what was found is kept in our own folder."""
    file = where / "hashes" / f"{sha256(str(source).encode()).hexdigest()[:16]}.json"
    file.parent.mkdir(exist_ok=True)
    found = model_folder.hashes(source, model_folder.kept_hashes(file))
    model_folder.keep_hashes(file, found)
    return {
        name: entry
        for name, entry in found.items()
        if not _NO_MODEL_FILE.fullmatch(name.rpartition("/")[2])
    }


def _key(hashes: Mapping[str, Entry], profile: str, kind: str) -> str:
    files = {name: entry[2] for name, entry in hashes.items()}
    inputs = [RECIPE, kind, sorted(PROFILES[profile].items()), sorted(files.items())]
    return sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    """Tell whether the folder is there and no file of it is missing or has changed."""
    kept = model_folder.kept_hashes(folder / HASHES)
    found = model_folder.hashes(folder, kept) if kept else {}
    digests = [{name: entry[2] for name, entry in each.items()} for each in (kept, found)]
    return bool(kept) and digests[0] == digests[1]


def _lay_out(
    source: Path, folder: Path, profile: str, kind: str, hashes: Mapping[str, Entry]
) -> None:
    beside = folder.parent.with_name(f".{folder.parent.name}-{os.getpid()}")
    made = beside / source.name
    try:
        for name in hashes:
            if kind == "shipped" or name.rpartition("/")[2] not in _HALVES:
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, made / name)
        write_conf(Layout.of(made), PROFILES[profile])
        if kind == "static":
            known = graph.KNOWN_SIZES.get(_halves(source, hashes))
            progress = Progress("building the decoding graph, once")
            graph.build(Layout.of(source).graph, Layout.of(made).graph, known, progress)
        model_folder.keep_hashes(made / HASHES, model_folder.hashes(made))
        shutil.rmtree(folder.parent, ignore_errors=True)
        beside.rename(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _halves(source: Path, hashes: Mapping[str, Entry]) -> tuple[str, str]:
    at = Layout.of(source).graph.relative_to(source)
    first, second = (hashes[(at / name).as_posix()][2] for name in ("HCLr.fst", "Gr.fst"))
    return first, second


def write_conf(layout: Layout, options: Mapping[str, str]) -> None:
    """Replace the conf files by our own: no dither, and the profile's options."""
    _rewrite(layout.mfcc_conf, {"dither": "0"})
    # The older kind of model has its decoding options inside Vosk.
    if layout.model_conf.exists():
        _rewrite(layout.model_conf, options)


def _rewrite(file: Path, options: Mapping[str, str]) -> None:
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    kept = [line for line in lines if _option(line) not in options]
    file.unlink()
    file.write_text("\n".join([*kept, *(f"--{name}={value}" for name, value in options.items())]))


def _option(line: str) -> str:
    return line.strip().removeprefix("--").partition("=")[0]


def main(arguments: list[str] | None = None) -> int:
    """Prepare the model and print its folder; 2 when that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m infra.model", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="live")
    chosen = parser.parse_args(arguments)
    try:
        folder = prepare(chosen.profile)
    except SettingsError as error:
        to_stderr(error.detail)
        return _WRONG_SETTING
    except KeyboardInterrupt:
        to_stderr("interrupted: nothing half-made is left, the next start begins again")
        return 130
    sys.stdout.write(f"{folder}\n")
    return 0
