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
from typing import Final

from eventing import topology
from infra.manifests import kustomize, network, pod_rules, rendered, roles
from infra.manifests.folders import EVENTING, KUSTOMIZATION, ROOT, Folders
from infra.manifests.kustomize import Command
from infra.manifests.manifest import Manifest, parse
from infra.manifests.objects import part
from infra.manifests.references import Served
from linewatch.errors import SettingsError

_OVERLAYS: Final = Path("infra/overlays")
_NUMBERED: Final = re.compile(r"\d{3}-[a-z-]+\.yaml")
_WRONG: Final = 2


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
    known = topology.load(root / EVENTING)
    return {"sink": tuple(known.sinks), "deadletters": known.dead_letters}


def overlays(root: Path = ROOT) -> list[Path]:
    """Return the folder of each overlay."""
    return sorted(file.parent for file in root.glob(f"{_OVERLAYS}/*/{KUSTOMIZATION}"))


def check(root: Path, by: Command) -> list[str]:
    """Return what is wrong with the manifests of *root*, and with what *by* renders of them.

    Raises:
        SettingsError: a file cannot be read at all, or the road of the events is wrong.
    """
    unnumbered = [
        f"{file.relative_to(root)}: begin the name with its number"
        for file in sorted((root / EVENTING).glob("*.yaml"))
        if file.name != KUSTOMIZATION and not _NUMBERED.fullmatch(file.name)
    ]
    folders = Folders(root)
    wrong = [*unnumbered, *folders.faults(), *roles.faults(folders)]
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
