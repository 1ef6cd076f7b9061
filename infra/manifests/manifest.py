"""One manifest: a document of a YAML file, and what the checks ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from infra.manifests.objects import Object, group, is_ksvc, name, part, template
from linewatch.errors import SettingsError

#: libyaml's reader, ten times as fast, where PyYAML was built with it.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLE: Final = "app.kubernetes.io/name"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and the *file* that it lies in."""

    file: str
    body: Object

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body.get("kind", ""))

    @property
    def group(self) -> str:
        """The group of its API; "" is Kubernetes' own."""
        return group(self.body)

    @property
    def version(self) -> str:
        """The version of its API."""
        return str(self.body.get("apiVersion", "")).rpartition("/")[2]

    @property
    def name(self) -> str:
        """Its name."""
        return name(self.body)

    @property
    def metadata(self) -> Object:
        """Its metadata."""
        return part(self.body, "metadata")

    @property
    def spec(self) -> Object:
        """Its spec."""
        return part(self.body, "spec")

    @property
    def is_ksvc(self) -> bool:
        """Whether it is a Service of Knative."""
        return is_ksvc(self.body)

    @property
    def pod(self) -> Object | None:
        """The spec of the pods it makes, if it makes any."""
        found = template(self.body)
        return None if found is None else part(found, "spec")

    @property
    def template(self) -> Object:
        """The template of the pods it makes."""
        return template(self.body) or {}

    @property
    def role(self) -> str:
        """Which of our roles its pods have."""
        return role_of(part(self.template, "metadata", "labels"))

    @property
    def containers(self) -> Iterator[Object]:
        """Every container of its pods, those that run first too."""
        pod = self.pod or {}
        yield from (*pod.get("initContainers", ()), *pod.get("containers", ()))

    def __str__(self) -> str:
        """Say what it is and where, so that it can be mended."""
        return f"{self.file}: {self.kind} {self.name}"


def role_of(labels: Object) -> str:
    """Return which of our roles a pod with *labels* has."""
    return str(labels.get(ROLE, ""))


def parse(text: str, file: str) -> list[Manifest]:
    """Return the objects of *text*, read from *file*.

    Raises:
        SettingsError: it is not YAML, or a document is not an object.
    """
    try:
        documents = [each for each in yaml.load_all(text, LOADER) if each is not None]
    except yaml.YAMLError as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    if not all(isinstance(each, dict) and each.get("kind") for each in documents):
        raise SettingsError(f"{file}: each document must be one object with a kind")
    return [Manifest(file, each) for each in documents]
