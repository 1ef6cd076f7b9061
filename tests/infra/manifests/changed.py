"""Manifests of the project, and copies of them with one thing changed."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

from infra.manifests.folders import Folders
from infra.manifests.manifest import Manifest

BASE = Path("infra/base")
EVENTING = Path("eventing")
BROKER = Path("infra/components/broker")
BOX = Path("infra/overlays/box")
GONE = object()


@functools.cache
def site(*folders):
    """Return every object of *folders*; the base and the event road if none is given."""
    return Folders().manifests(*(folders or (BASE, EVENTING)))


def one(kind, name, manifests=None):
    """Return the object of *kind* called *name*; a ksvc is of kind ksvc."""
    for each in manifests or site():
        if each.name == name and kind == ("ksvc" if each.is_ksvc else each.kind):
            return each
    raise LookupError(f"no {kind} {name}")


def changed(manifest, path, value):
    """Return a copy of *manifest* in which what *path* leads to is *value*, or gone."""
    body = copy.deepcopy(dict(manifest.body))
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    part = body
    for step in parents:
        part = part[step]
    if value is GONE:
        del part[last]
    elif isinstance(part, list) and last == len(part):
        part.append(value)
    else:
        part[last] = value
    return Manifest(manifest.file, body)


def with_changed(manifest, path, value, manifests=None):
    """Return *manifests*, else the base and the event road, with *manifest* changed."""
    return [
        changed(each, path, value) if each == manifest else each for each in manifests or site()
    ]
