"""Whether the cluster serves every kind that is to be applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from infra.deploy.kubectl import CommandFailed, Kubectl
from infra.manifests.objects import Object

SOURCES: Final = "sources.knative.dev"
#: What brings a kind: the first that fits of group and kind.
_BROUGHT_BY: Final = (
    ("serving.knative.dev", "Service", "Knative Serving"),
    (SOURCES, "KafkaSource", "Knative Kafka's KafkaSource (eventing-kafka-source.yaml)"),
    ("eventing.knative.dev", "KafkaSink", "Knative Kafka's KafkaSink (eventing-kafka-sink.yaml)"),
    (SOURCES, "", "Knative Eventing"),
    ("eventing.knative.dev", "", "Knative Eventing"),
    ("", "", "what defines it"),
)


class Served:
    """The kinds that the API server serves, asked once for each version of each API."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._kinds: dict[str, frozenset[str]] = {}

    def has(self, version: str, kind: str) -> bool:
        """Tell whether *kind* is served in *version*, such as ``sources.knative.dev/v1``."""
        if version not in self._kinds:
            self._kinds[version] = self._ask(version)
        return kind in self._kinds[version]

    def knows(self, of: Object) -> bool:
        """Tell whether the kind of *of* is served."""
        return self.has(of["apiVersion"], of["kind"])

    def _ask(self, version: str) -> frozenset[str]:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            listed = self._kubectl.raw(path)
        except CommandFailed as error:
            if "could not find" in error.detail or "NotFound" in error.detail:
                return frozenset()
            raise
        return frozenset(each["kind"] for each in listed["resources"])

    def lacks(self, objects: Iterable[Object]) -> Iterator[str]:
        """Say which kinds of *objects* are not served, and what brings them."""
        for version, kind in sorted({(each["apiVersion"], each["kind"]) for each in objects}):
            if not self.has(version, kind):
                yield f"{kind} of {version} is not served: install {_brought_by(version, kind)}"

    def only_v1beta1(self, objects: Sequence[Object]) -> bool:
        """Tell whether the KafkaSources wanted as v1 are served as v1beta1 only."""
        v1, v1beta1 = f"{SOURCES}/v1", f"{SOURCES}/v1beta1"
        wants = any((each["apiVersion"], each["kind"]) == (v1, "KafkaSource") for each in objects)
        return wants and not self.has(v1, "KafkaSource") and self.has(v1beta1, "KafkaSource")


def _brought_by(version: str, kind: str) -> str:
    group = version.partition("/")[0]
    return next(
        what
        for its_group, its_kind, what in _BROUGHT_BY
        if its_group in {"", group} and its_kind in {"", kind}
    )
