"""A rendered installation, held to what the API server would take and nobody would see go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from eventing.topology import PUBLISHES
from infra.manifests.manifest import Manifest
from infra.manifests.objects import Object, part
from infra.manifests.references import References, Served, under

NAMESPACE: Final = "linewatch"
_SETTINGS: Final = "linewatch"
_DASHBOARD: Final = ("Deployment", "dashboard")
_HEALTH: Final = "/_stcore/health"
#: How the ConfigMaps that name topics end; a function may bring its own.
_TOPICS: Final = "-topics"
_CLUSTER_WIDE: Final = {"Namespace"}
_KAFKA: Final = ("KafkaSource", "KafkaSink")
_SOURCES: Final = ("KafkaSource", "ContainerSource")
#: Its image is not ours.
_REDIS: Final = "redis"
_IMAGE: Final = re.compile(
    r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9][a-z0-9./_-]*"
    r"(?::(?P<tag>\w[\w.-]*))?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def faults(manifests: Sequence[Manifest], served: Served) -> Iterator[str]:
    """Say what is wrong with an installation; *served* is where each role takes events."""
    yield from _namespace_faults(manifests)
    yield from _address_faults(manifests)
    yield from _topic_faults(manifests)
    yield from _probe_faults(manifests)
    yield from _image_faults(manifests)
    yield from _reply_faults(manifests)
    yield from References(manifests, served).faults()


def _namespace_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say what lies outside the namespace whose policies and profile guard it."""
    for each in manifests:
        lies = each.name if each.kind in _CLUSTER_WIDE else each.metadata.get("namespace")
        if lies != NAMESPACE:
            yield f"{each}: lies in {lies or 'no namespace'}, not in {NAMESPACE}"


def _data(manifests: Sequence[Manifest], name: str) -> Object:
    for each in manifests:
        if (each.kind, each.name) == ("ConfigMap", name):
            return part(each.body, "data")
    return {}


def _address_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    brokers = str(_data(manifests, _SETTINGS).get("KAFKA_BROKERS", "")).split(",")
    for each in manifests:
        has = each.spec.get("bootstrapServers")
        if each.kind in _KAFKA and has not in (brokers[:1], brokers):
            yield (
                f"{each}: bootstrapServers are {has}, but KAFKA_BROKERS begins with {brokers[0]}: "
                "list components/kafka-address under transformers"
            )


def _probe_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say which probe of the dashboard asks elsewhere than where it is served."""
    path = str(_data(manifests, _SETTINGS).get("DASHBOARD_PATH", ""))
    if path and (path[0] != "/" or path[-1] == "/"):
        yield f"DASHBOARD_PATH={path}: begin it with a slash, and end it without one"
        return
    for each in manifests:
        if (each.kind, each.name) == _DASHBOARD:
            asked = {part(probe, "httpGet").get("path") for probe in _probes(each)}
            for wrong in sorted(map(str, asked - {path + _HEALTH})):
                yield (
                    f"{each}: a probe asks {wrong}, but DASHBOARD_PATH is {path or 'empty'}: "
                    "list components/dashboard-path under transformers"
                )


def _probes(manifest: Manifest) -> Iterator[Object]:
    for container in manifest.containers:
        yield from (part(container, probe) for probe in ("readinessProbe", "livenessProbe"))


def _topic_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    known = {
        topic
        for each in manifests
        if each.kind == "ConfigMap" and each.name.endswith(_TOPICS)
        for topic in part(each.body, "data")
    }
    for each in manifests:
        for topic in _topics(each):
            if topic not in known:
                yield f"{each}: topic {topic} is in no ConfigMap *{_TOPICS}: nobody makes it"


def _topics(manifest: Manifest) -> Iterator[str]:
    """Return what a source reads, a sink writes, and where undeliverable events go."""
    if manifest.kind in _KAFKA:
        yield from manifest.spec.get("topics", ())
        yield from filter(None, [manifest.spec.get("topic")])
    for letters in under(manifest.spec, "deadLetterSink"):
        yield from filter(None, [str(letters.get("uri", "")).strip("/")])


def _image_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say which image has no valid name, no version, or is not that of our other roles."""
    images = [
        (each, str(container.get("image", "")))
        for each in manifests
        for container in each.containers
    ]
    for manifest, image in images:
        found = _IMAGE.fullmatch(image)
        if not found:
            yield f"{manifest}: {image!r} is not an image's name"
        elif not found["digest"] and found["tag"] in {None, "latest"}:
            yield f"{manifest}: image {image} names no version: give it a tag or a digest"
    ours = {image for manifest, image in images if manifest.role != _REDIS}
    if len(ours) > 1:
        yield f"the roles have different images: {', '.join(sorted(ours))}"


def _reply_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say which function would lose what it answers."""
    bound = {
        part(each.spec, "subject").get("name") for each in manifests if each.kind == "SinkBinding"
    }
    fed = {_fed(each, "sink"): each for each in manifests if each.kind in _SOURCES}
    asked = {_fed(each, "subscriber") for each in manifests if each.kind == "Trigger"}
    for each in manifests:
        if each.is_ksvc and each.name in {*fed, *asked}:
            found = _answer_faults(
                replies=_replies(each), is_bound=each.name in bound, source=fed.get(each.name)
            )
            yield from (f"{each}: {fault}" for fault in found)


def _answer_faults(*, replies: bool, is_bound: bool, source: Manifest | None) -> Iterator[str]:
    """Say why an answer would be lost: it has one road, and only a Trigger takes a reply."""
    if replies and is_bound:
        yield "has both REPLY and a SinkBinding: take one away"
    publishes = source is None or _publishes(source)
    if not replies and not is_bound and publishes:
        yield "has no SinkBinding: bind it to a sink, or set REPLY where a Trigger feeds it"
    if is_bound and source and not publishes:
        yield f"has a SinkBinding, and KafkaSource {source.name} says {PUBLISHES}: take one away"
    if replies and source:
        yield f"{source.kind} {source.name} drops its replies"


def _publishes(source: Manifest) -> bool:
    return PUBLISHES not in part(source.metadata, "annotations")


def _fed(manifest: Manifest, where: str) -> str:
    """Return the Knative Service that *manifest* sends events to, "" if it is another object."""
    at = Manifest("", part(manifest.spec, where, "ref"))
    return str(at.body.get("name", "")) if at.is_ksvc else ""


def _replies(function: Manifest) -> bool:
    variables = [each for one in function.containers for each in one.get("env", ())]
    return {"name": "REPLY", "value": "true"} in variables
