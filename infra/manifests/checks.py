"""The check of the manifests: every overlay, rendered as it would be applied, keeps the rules.

::

    python -m infra.manifests    # all overlays, without a cluster
    kubectl kustomize infra/overlays/prod | python -m infra.manifests -    # yours too
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from eventing import topology
from infra.manifests import kustomize, network, pod_rules, rendered
from infra.manifests.kustomize import Command
from infra.manifests.manifest import Body, Manifest, parse, part
from infra.manifests.references import Served
from linewatch.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[2]
_EVENTING: Final = Path("eventing")
_OVERLAYS: Final = Path("infra/overlays")
_FILE: Final = "kustomization.yaml"
_NUMBERED: Final = re.compile(r"\d{3}-[a-z-]+\.yaml")
_WRONG: Final = 2


class Folders:
    """Every folder of *root* that kustomize reads, and what they take from each other."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        found = [*root.glob(f"infra/*/**/{_FILE}"), *root.glob(f"{_EVENTING}/{_FILE}")]
        self._lists = {file.parent.resolve(): _list(file, root) for file in sorted(found)}

    def manifests(self, *folders: Path) -> list[Manifest]:
        """Return the objects of *folders*, and of those that they take."""
        found: dict[Path, list[Manifest]] = {}
        for folder in folders:
            self._collect((self.root / folder).resolve(), found)
        return [manifest for each in found.values() for manifest in each]

    def _collect(self, folder: Path, found: dict[Path, list[Manifest]]) -> None:
        listed = self._lists.get(folder, {})
        for name in _taken(listed):
            path = (folder / name).resolve()
            if path.suffix == ".yaml" and path.exists() and path not in found:
                found[path] = parse(path.read_text(), str(path.relative_to(self.root)))
            elif path in self._lists:
                self._collect(path, found)

    def faults(self) -> Iterator[str]:
        """Say what kustomize would silently pass over: a file, or a patch that hits nothing."""
        for folder, listed in self._lists.items():
            here = folder.relative_to(self.root)
            files = {file.name for file in folder.glob("*.yaml")} - {_FILE}
            for name in sorted(files - {*_taken(listed), *_patch_files(listed)}):
                yield f"{here}/{name}: {_FILE} does not name it"
            yield from self._patch_faults(folder, listed)

    def _patch_faults(self, folder: Path, listed: Body) -> Iterator[str]:
        """Say which target is nowhere: kustomize says nothing. A component's are its user's."""
        if listed.get("kind") == "Component":
            return
        known = self.manifests(folder)
        for patch in listed.get("patches", ()):
            target = patch.get("target", {})
            if target and not any(_hits(target, each) for each in known):
                here = folder.relative_to(self.root)
                yield f"{here}/{_FILE}: no {target.get('kind')} {target.get('name', '')} to patch"


def _list(file: Path, root: Path) -> Body:
    text = file.read_text()
    if not text.startswith("# "):
        raise SettingsError(f"{file.relative_to(root)}: the first line must say what it is for")
    try:
        listed: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file.relative_to(root)} is no YAML: {error}") from error
    return listed if isinstance(listed, dict) else {}


def _taken(listed: Body) -> list[str]:
    return [*listed.get("resources", ()), *listed.get("components", ())]


def _patch_files(listed: Body) -> list[str]:
    return [patch["path"] for patch in listed.get("patches", ()) if "path" in patch]


def _hits(target: Body, manifest: Manifest) -> bool:
    return all(
        re.fullmatch(str(target[name]), getattr(manifest, name))
        for name in ("group", "kind", "name")
        if name in target
    )


def faults(manifests: Sequence[Manifest], root: Path = ROOT) -> Iterator[str]:
    """Say what is wrong with a whole installation, as kustomize renders it."""
    for each in manifests:
        yield from pod_rules.faults(each)
    yield from _guard_faults(manifests)
    yield from rendered.faults(manifests, _served(root))
    yield from network.faults(manifests)


def _guard_faults(manifests: Iterable[Manifest]) -> Iterator[str]:
    for each in manifests:
        labels = part(each.metadata, "labels")
        enforced = labels.get("pod-security.kubernetes.io/enforce")
        mounts = each.body.get("automountServiceAccountToken") is not False
        if each.kind == "Namespace" and enforced != "restricted":
            yield f"{each}: must enforce the restricted Pod Security Standard"
        if each.kind == "ServiceAccount" and mounts:
            yield f"{each}: set automountServiceAccountToken: false"


def _served(root: Path) -> Served:
    """Return the paths at which roles of ours take events: they read the same manifests."""
    told = topology.load(root / _EVENTING)
    return {"sink": tuple(told.sinks), "deadletters": told.dead_letters}


def overlays(root: Path = ROOT) -> list[Path]:
    """Return the folder of each overlay."""
    return sorted(file.parent for file in root.glob(f"{_OVERLAYS}/*/{_FILE}"))


def check(root: Path, by: Command) -> list[str]:
    """Return what is wrong with the manifests of *root*, and with what *by* renders of them.

    Raises:
        SettingsError: a file cannot be read at all, or the road of the events is wrong.
    """
    unnumbered = [
        f"{file.relative_to(root)}: begin the name with its number"
        for file in sorted((root / _EVENTING).glob("*.yaml"))
        if file.name != _FILE and not _NUMBERED.fullmatch(file.name)
    ]
    wrong = [*unnumbered, *Folders(root).faults()]
    for overlay in overlays(root):
        wrong += _overlay_faults(overlay, root, by)
    return wrong


def _overlay_faults(overlay: Path, root: Path, by: Command) -> list[str]:
    try:
        text = kustomize.render(overlay, by)
    except SettingsError as error:
        return [error.detail]
    return [*faults(parse(text, str(overlay.relative_to(root))), root)]


def check_rendered(text: str) -> list[str]:
    """Return what is wrong with an installation that was rendered elsewhere."""
    return [*faults(parse(text, "rendered"))]


def main(arguments: Sequence[str]) -> int:
    """Check the files, or what comes in by ``-``; print what is wrong; return the exit status."""
    try:
        if list(arguments) == ["-"]:
            wrong = check_rendered(sys.stdin.read())
        else:
            wrong = check(ROOT, kustomize.command(os.environ))
    except SettingsError as error:
        wrong = [error.detail]
    for each in wrong:
        sys.stderr.write(f"{each}\n")
    return _WRONG if wrong else 0
