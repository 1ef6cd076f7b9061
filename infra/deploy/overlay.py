"""The overlay to deploy, and what the command line changes in it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.deploy.kubectl import Kubectl
from infra.manifests.objects import Object, at, kubectl_kind, name, template
from linewatch.errors import SettingsError

INFRA: Final = Path(__file__).resolve().parents[1]
#: Says KafkaSource v1beta1 instead of v1.
V1BETA1: Final = INFRA / "components" / "kafka-v1beta1"
_FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_IMAGE_OF: Final = "ksvc", "decoder"


@dataclass(frozen=True)
class Changes:
    """What is other than the overlay says; what is empty stays as it is."""

    image: str = ""
    brokers: str = ""
    v1beta1: bool = False


def find(overlay: str) -> Path:
    """Return the folder of *overlay*: a path, or the name of one of ours.

    Raises:
        SettingsError: it is neither.
    """
    for folder in (INFRA / "overlays" / overlay, Path(overlay)):
        if any((folder / each).is_file() for each in _FILES):
            return folder.resolve()
    known = ", ".join(sorted(each.name for each in (INFRA / "overlays").iterdir()))
    raise SettingsError(f"there is no overlay {overlay}: name {known}, or a kustomization's folder")


def render(kubectl: Kubectl, folder: Path, changes: Changes) -> list[Object]:
    """Return the objects of an overlay with what is to be changed."""
    if changes == Changes():
        return kubectl.render(folder)
    image = _image(kubectl.render(folder)) if changes.image else ""
    with tempfile.TemporaryDirectory(prefix="linewatch-deploy-") as made:
        # Of links kustomize takes the ends, and it takes no absolute path.
        above = Path(made).resolve()
        (above / _FILES[0]).write_text(json.dumps(kustomization(folder, above, changes, image)))
        return kubectl.render(above)


def kustomization(folder: Path, above: Path, changes: Changes, image: str) -> Mapping[str, Any]:
    """Return the kustomization in *above* that changes the overlay in *folder*."""
    made: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(folder, above)],
    }
    if changes.v1beta1:
        made["components"] = [os.path.relpath(V1BETA1, above)]
    if changes.image:
        made["images"] = [{"name": image, **image_fields(changes.image)}]
    if changes.brokers:
        made["patches"] = list(_patches(changes.brokers))
    return made


def image_fields(image: str) -> dict[str, str]:
    """Return an image's name, tag and digest as kustomize calls them."""
    rest, at_sign, digest = image.partition("@")
    # A registry's port is no tag.
    folder, slash, last = rest.rpartition("/")
    base, colon, tag = last.partition(":")
    fields = {"newName": f"{folder}{slash}{base}"}
    if at_sign:
        return {**fields, "digest": digest}
    return {**fields, "newTag": tag} if colon else fields


def _patches(brokers: str) -> Sequence[Mapping[str, Any]]:
    servers = [each.strip() for each in brokers.split(",") if each.strip()]
    address = {"op": "replace", "path": "/data/KAFKA_BROKERS", "value": ",".join(servers)}
    listed = {"op": "replace", "path": "/spec/bootstrapServers", "value": servers}
    return [
        {"target": {"kind": "ConfigMap", "name": "linewatch"}, "patch": json.dumps([address])},
        {"target": {"kind": "KafkaSource"}, "patch": json.dumps([listed])},
        {"target": {"kind": "KafkaSink"}, "patch": json.dumps([listed])},
    ]


def _image(objects: Sequence[Object]) -> str:
    """Return the name, without tag and digest, of the image that all roles share."""
    for each in objects:
        if (kubectl_kind(each), name(each)) == _IMAGE_OF:
            containers = at(template(each), "spec", "containers") or [{}]
            return image_fields(str(containers[0].get("image", "")))["newName"]
    raise SettingsError("--image: the overlay has no Knative Service decoder whose image to change")


def namespace_of(objects: Sequence[Object]) -> str:
    """Return the namespace that the objects are for.

    Raises:
        SettingsError: there is no namespace, or more than one.
    """
    found = {str(at(each, "metadata", "namespace") or "") for each in objects} - {""}
    if len(found) != 1:
        named = ", ".join(sorted(found)) or "none"
        raise SettingsError(f"set one `namespace:` in the overlay's kustomization: it has {named}")
    return found.pop()
