"""One manifest: a document of a YAML file, and what the checks ask it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from linewatch.errors import SettingsError

SERVING: Final = "serving.knative.dev"
_CRON: Final = "CronJob"
#: What makes pods, of spec.template; a CronJob makes Jobs, of spec.jobTemplate.
_WORKLOADS: Final = {"Deployment", "StatefulSet", "Job", _CRON, "ContainerSource"}
#: libyaml's reader, ten times as fast, where PyYAML was built with it.
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLE: Final = "app.kubernetes.io/name"
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object, and the *file* it is told in."""

    file: str
    body: Body

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body.get("kind", ""))

    @property
    def group(self) -> str:
        """The group of its API; "" is Kubernetes' own."""
        group, slash, _ = str(self.body.get("apiVersion", "")).partition("/")
        return group if slash else ""

    @property
    def version(self) -> str:
        """The version of its API."""
        return str(self.body.get("apiVersion", "")).rpartition("/")[2]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata.get("name", ""))

    @property
    def metadata(self) -> Body:
        """Its metadata."""
        return part(self.body, "metadata")

    @property
    def spec(self) -> Body:
        """Its spec."""
        return part(self.body, "spec")

    @property
    def is_ksvc(self) -> bool:
        """Whether it is a Service of Knative."""
        return (self.kind, self.group) == ("Service", SERVING)

    @property
    def pod(self) -> Body | None:
        """The spec of the pods it makes, if it makes any."""
        makes = self.is_ksvc or self.kind in _WORKLOADS
        return part(self.template, "spec") if makes else None

    @property
    def template(self) -> Body:
        """The template of the pods it makes."""
        job = part(part(self.spec, "jobTemplate"), "spec") if self.kind == _CRON else self.spec
        return part(job, "template")

    @property
    def role(self) -> str:
        """Which of our roles its pods have."""
        return role_of(part(part(self.template, "metadata"), "labels"))

    @property
    def containers(self) -> Iterator[Body]:
        """Every container of its pods, those that run first too."""
        pod = self.pod or {}
        yield from (*pod.get("initContainers", ()), *pod.get("containers", ()))

    def __str__(self) -> str:
        """Say where it is, for whoever has to mend it."""
        return f"{self.file}: {self.kind} {self.name}"


def part(of: Body, name: str) -> Body:
    """Return the object *name* of an object, empty where there is none."""
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}


def role_of(labels: Body) -> str:
    """Return which of our roles a pod with *labels* has."""
    return str(labels.get(ROLE, ""))


def parse(text: str, file: str) -> list[Manifest]:
    """Return the objects of *text*, read from *file*.

    Raises:
        SettingsError: it is no YAML, or a document is no object.
    """
    try:
        documents = [each for each in yaml.load_all(text, LOADER) if each is not None]
    except yaml.YAMLError as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    if not all(isinstance(each, dict) and each.get("kind") for each in documents):
        raise SettingsError(f"{file}: each document must be one object with a kind")
    return [Manifest(file, each) for each in documents]
