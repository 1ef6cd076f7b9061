"""The check of the manifests: our own rules, the network, and that kustomize finds it all.

::

    python -m infra.manifests    # the files, without a cluster
    kubectl kustomize infra/overlays/prod | python -m infra.manifests -    # what it renders
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from eventing import topology
from infra import network, pod_rules
from infra.manifest import Body, Manifest, parse, part
from linewatch.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[1]
_BASE: Final = Path("infra/base")
_EVENTING: Final = Path("eventing")
_FILE: Final = "kustomization.yaml"
_NUMBERED: Final = re.compile(r"\d{3}-[a-z-]+\.yaml")
_SETTINGS: Final = "linewatch"
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

    def all(self) -> list[Manifest]:
        """Return every object."""
        return self.manifests(*self._lists)

    def _collect(self, folder: Path, found: dict[Path, list[Manifest]]) -> None:
        listed = self._lists.get(folder, {})
        for name in _taken(listed):
            path = (folder / name).resolve()
            if path.suffix == ".yaml" and path.exists() and path not in found:
                found[path] = parse(path.read_text(), str(path.relative_to(self.root)))
            elif path in self._lists:
                self._collect(path, found)

    def faults(self) -> Iterator[str]:
        """Say which file kustomize would not find, or silently pass over."""
        for folder, listed in self._lists.items():
            here = folder.relative_to(self.root)
            names = [*_taken(listed), *_patch_files(listed)]
            for name in names:
                if not (folder / name).exists():
                    yield f"{here}/{_FILE}: there is no {name}"
            files = {file.name for file in folder.glob("*.yaml")} - {_FILE}
            for name in sorted(files - set(names)):
                yield f"{here}/{name}: {_FILE} does not name it"
            yield from self._patch_faults(folder, listed)

    def _patch_faults(self, folder: Path, listed: Body) -> Iterator[str]:
        """Say which patch hits nothing: kustomize says nothing. A component's are its user's."""
        if listed.get("kind") == "Component":
            return
        known = self.manifests(folder)
        for patch in listed.get("patches", ()):
            target = patch.get("target") or _target(patch["patch"])
            if not any(_hits(target, each) for each in known):
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


def _target(patch: str) -> Body:
    body: Body = yaml.safe_load(patch)
    return {"kind": body.get("kind"), "name": part(body, "metadata").get("name")}


def _hits(target: Body, manifest: Manifest) -> bool:
    return all(
        re.fullmatch(str(target[name]), getattr(manifest, name))
        for name in ("group", "kind", "name")
        if name in target
    )


def faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say what is wrong with single objects, and with what they say of each other."""
    for each in manifests:
        yield from pod_rules.faults(each)
    yield from _namespace_faults(manifests)
    yield from _account_faults(manifests)
    yield from _setting_faults(manifests)


def _namespace_faults(manifests: Iterable[Manifest]) -> Iterator[str]:
    for each in manifests:
        labels = part(each.metadata, "labels")
        enforced = labels.get("pod-security.kubernetes.io/enforce")
        if each.kind == "Namespace" and enforced != "restricted":
            yield f"{each}: must enforce the restricted Pod Security Standard"


def _account_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    known = {each.name for each in manifests if each.kind == "ServiceAccount"}
    for each in manifests:
        account = (each.pod or {}).get("serviceAccountName")
        mounts = each.body.get("automountServiceAccountToken") is not False
        if account and account not in known:
            yield f"{each}: there is no ServiceAccount {account}"
        if each.kind == "ServiceAccount" and mounts:
            yield f"{each}: set automountServiceAccountToken: false"


def _setting_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say which pod is told a setting that the ConfigMap does not have: it would never start."""
    known = {
        name
        for each in manifests
        if (each.kind, each.name) == ("ConfigMap", _SETTINGS)
        for name in part(each.body, "data")
    }
    for each in manifests:
        for container in each.containers:
            for told in container.get("env", ()):
                ref = part(part(told, "valueFrom"), "configMapKeyRef")
                if ref and (ref.get("name") != _SETTINGS or ref.get("key") not in known):
                    yield f"{each}: no ConfigMap has {ref.get('key')}"


def check(root: Path) -> list[str]:
    """Return what is wrong with the manifests of *root*.

    Raises:
        SettingsError: a file cannot be read at all, or the road of the events is wrong.
    """
    topology.load(root / _EVENTING)
    folders = Folders(root)
    unnumbered = [
        f"{file.relative_to(root)}: begin the name with its number"
        for file in sorted((root / _EVENTING).glob("*.yaml"))
        if file.name != _FILE and not _NUMBERED.fullmatch(file.name)
    ]
    return [
        *unnumbered,
        *folders.faults(),
        *faults(folders.all()),
        *network.faults(folders.manifests(_BASE, _EVENTING)),
    ]


def check_rendered(text: str) -> list[str]:
    """Return what is wrong with a whole installation, as kustomize renders it."""
    manifests = parse(text, "rendered")
    return [*faults(manifests), *network.faults(manifests)]


def main(arguments: Sequence[str]) -> int:
    """Check the files, or what comes in by ``-``; print what is wrong; return the exit status."""
    try:
        wrong = check_rendered(sys.stdin.read()) if list(arguments) == ["-"] else check(ROOT)
    except SettingsError as error:
        wrong = [error.detail]
    for each in wrong:
        sys.stderr.write(f"{each}\n")
    return _WRONG if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
