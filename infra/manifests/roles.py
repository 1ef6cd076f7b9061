"""The identity and the edges of each role: written from what the other manifests say.

::

    python -m infra.manifests.roles    # write infra/base/roles.yaml

A new function's Service, its KafkaSource and its SinkBinding are all that this needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import yaml

from infra.manifests import network
from infra.manifests.folders import BASE, EVENTING, ROOT, Folders
from infra.manifests.manifest import ROLE, Manifest
from infra.manifests.network import Edge

FILE: Final = BASE / "roles.yaml"
_HEAD: Final = """\
# Written by `make roles` from what the other manifests tell each role: do not edit. Each has an
# identity, none of which may speak to the API server, and the connections it may open and take.
"""
#: The overlays' patches name a rule by its place, so rules keep their order.
_PLACES: Final = ("serving", "eventing", "", "monitoring", "viewers")
_OUTSIDE_LAST: Final = ("", "eventing", "serving", "kafka")


def text(manifests: Sequence[Manifest]) -> str:
    """Return the file for an installation of *manifests*."""
    roles = sorted({each.role for each in manifests if each.pod is not None})
    edges = set(network.needed(manifests))
    objects = [each for role in roles for each in (_account(role), _policy(role, edges, roles))]
    return _HEAD + "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in objects)


def _account(role: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": role},
        "automountServiceAccountToken": False,
    }


def _policy(role: str, edges: Iterable[Edge], roles: Sequence[str]) -> dict[str, Any]:
    into = [(each.source, each.port) for each in edges if each.target == role]
    out_of = [(each.target, each.port) for each in edges if each.source == role]
    rules = {
        "ingress": list(_rules("from", into, _PLACES, roles)),
        "egress": list(_rules("to", out_of, _OUTSIDE_LAST, roles)),
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": role},
        "spec": {
            "podSelector": {"matchLabels": {ROLE: role}},
            "policyTypes": ["Ingress", "Egress"],
            **{way: found for way, found in rules.items() if found},
        },
    }


def _rules(
    way: str, ends: Iterable[tuple[str, int]], places: Sequence[str], roles: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield one rule for each other end, with all its ports; *way* is from or to."""

    def place(end: tuple[str, int]) -> tuple[int, str, int]:
        return places.index("" if end[0] in roles else end[0]), *end

    for other, several in groupby(sorted(ends, key=place), key=lambda end: end[0]):
        peer = network.peer(other, roles)
        ports = [{"port": port} for _, port in several]
        yield {**({way: [peer]} if peer else {}), "ports": ports}


def faults(folders: Folders) -> Iterator[str]:
    """Say whether the file is not what the other manifests of *folders* ask for."""
    if (folders.root / FILE).read_text() != text(folders.manifests(BASE, EVENTING)):
        yield f"{FILE}: is not what the other manifests ask for: run `make roles`"


if __name__ == "__main__":
    (ROOT / FILE).write_text(text(Folders().manifests(BASE, EVENTING)))
