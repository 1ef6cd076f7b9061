"""Holds a manifest to the schema of its kind: Kubernetes' own, or Knative's where it is at hand."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

from infra.manifests.manifest import LOADER, Manifest

_KUBERNETES: Final = "1.35"
_KEEPS: Final = "x-kubernetes-preserve-unknown-fields"


class Schemas:
    """The schemas of every kind; *knative* is the folder of Knative's definitions, if any."""

    def __init__(self, knative: Path | None = None) -> None:
        self._definitions = dict(_definitions(knative)) if knative else {}

    def faults(self, manifest: Manifest) -> Iterator[str]:
        """Say what of *manifest* its schema refuses: a wrong value, or a field it does not name."""
        if _is_builtin(manifest.group):
            fault = _builtin_fault(json.dumps(manifest.body))
            yield from [f"{manifest}: {fault}"] if fault else []
        elif self._definitions:
            yield from self._knative_faults(manifest)

    def _knative_faults(self, manifest: Manifest) -> Iterator[str]:
        versions = self._definitions.get((manifest.group, manifest.kind), {})
        schema = versions.get(manifest.version)
        if schema is None:
            known = ", ".join(versions) or "none"
            yield f"{manifest}: {manifest.body.get('apiVersion')} is not served ({known})"
            return
        for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest.body):
            yield f"{manifest}: {error.json_path}: {error.message[:200]}"


def _is_builtin(group: str) -> bool:
    return "." not in group or group.endswith(".k8s.io")


# The library reads its definitions anew for every object; most objects are asked of twice.
@functools.cache
def _builtin_fault(body: str) -> str:
    try:
        kubernetes_validate.validate(json.loads(body), _KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(each) for each in error.path)
        return f"{where}: {error.message[:200]}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"Kubernetes {_KUBERNETES} has no such kind"
    return ""


def _definitions(folder: Path) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Read the CustomResourceDefinitions: (group, kind) -> version -> closed schema."""
    for file in sorted(folder.glob("*.yaml")):
        for each in yaml.load_all(file.read_text(), LOADER):
            if isinstance(each, Mapping) and each.get("kind") == "CustomResourceDefinition":
                spec = each["spec"]
                yield (
                    (spec["group"], spec["names"]["kind"]),
                    {
                        version["name"]: _with_head(closed(version["schema"]["openAPIV3Schema"]))
                        for version in spec["versions"]
                        if version["served"]
                    },
                )


def _with_head(schema: dict[str, Any]) -> dict[str, Any]:
    """Add what every object has: not every definition names it."""
    head = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
    return {**schema, "properties": {**head, **schema.get("properties", {})}}


def closed(schema: Any) -> Any:
    """Return a schema that refuses the fields it does not name: the API server drops them."""
    if not isinstance(schema, Mapping):
        return schema
    tight = {name: closed(each) for name, each in schema.items()}
    if "properties" in schema and not schema.get(_KEEPS) and "additionalProperties" not in schema:
        tight["additionalProperties"] = False
    return tight
