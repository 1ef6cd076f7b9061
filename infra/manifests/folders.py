"""The folders that kustomize reads, and what they take from each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from infra.manifests.manifest import Manifest, parse
from infra.manifests.objects import Object
from linewatch.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[2]
BASE: Final = Path("infra/base")
EVENTING: Final = Path("eventing")
KUSTOMIZATION: Final = "kustomization.yaml"


class Folders:
    """Every folder of *root* that kustomize reads, and what they take from each other."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        found = [
            *root.glob(f"infra/*/**/{KUSTOMIZATION}"),
            *root.glob(f"{EVENTING}/{KUSTOMIZATION}"),
        ]
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
            files = {file.name for file in folder.glob("*.yaml")} - {KUSTOMIZATION}
            for name in sorted(files - {*_taken(listed), *_patch_files(listed)}):
                yield f"{here}/{name}: {KUSTOMIZATION} does not name it"
            yield from self._patch_faults(folder, listed)

    def _patch_faults(self, folder: Path, listed: Object) -> Iterator[str]:
        """Say which target is nowhere: kustomize says nothing. A component's are its user's."""
        if listed.get("kind") == "Component":
            return
        known = self.manifests(folder)
        for patch in listed.get("patches", ()):
            target = patch.get("target", {})
            if target and not any(_hits(target, each) for each in known):
                here = folder.relative_to(self.root) / KUSTOMIZATION
                yield f"{here}: no {target.get('kind')} {target.get('name', '')} to patch"


def _list(file: Path, root: Path) -> Object:
    text = file.read_text()
    if not text.startswith("# "):
        raise SettingsError(f"{file.relative_to(root)}: the first line must say what it is for")
    try:
        listed: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file.relative_to(root)} is not valid YAML: {error}") from error
    return listed if isinstance(listed, dict) else {}


def _taken(listed: Object) -> list[str]:
    return [*listed.get("resources", ()), *listed.get("components", ())]


def _patch_files(listed: Object) -> list[str]:
    return [patch["path"] for patch in listed.get("patches", ()) if "path" in patch]


def _hits(target: Object, manifest: Manifest) -> bool:
    return all(
        re.fullmatch(str(target[name]), getattr(manifest, name))
        for name in ("group", "kind", "name")
        if name in target
    )
