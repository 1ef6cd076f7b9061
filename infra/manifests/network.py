"""Who may speak to whom: what the NetworkPolicies allow, held to what the manifests need.

Every edge is derived from the settings of a pod: its sink, its store, its log. A policy
too few is a silent hang on the cluster, a policy too many is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from infra.manifests.manifest import ROLE, Manifest, role_of
from infra.manifests.objects import Object, part

#: The queue-proxy's doors, its drain, and what the autoscaler reads.
_QUEUE_PROXY: Final = (8012, 8013, 8022, 9090)
_APP: Final = (8080,)
_QUEUE_PROXY_METRICS: Final = (9091,)
#: The activator's door, and those of the ingresses' pods.
_INGRESS: Final = (8012, 8080, 8081)
_KAFKA: Final = (9092, 9093)
_REDIS: Final = (6379,)
_REDIS_ELSEWHERE: Final = (6379, 6380)
#: Who is meant by a rule that names a port and nobody: it is outside the cluster.
_OUTSIDE: Final = {9092: "kafka", 9093: "kafka", 6379: "redis-elsewhere", 6380: "redis-elsewhere"}
#: Namespaces that are not ours, by what they do for us.
_PARTS: Final = {
    "knative-serving": "serving",
    "kourier-system": "serving",
    "istio-system": "serving",
    "contour-internal": "serving",
    "knative-eventing": "eventing",
    "monitoring": "monitoring",
}
_VIEWERS: Final = "linewatch-viewers"
#: The annotation of a policy that says who answers at its address ranges: a node has no labels.
_IP_BLOCKS: Final = "linewatch/ip-blocks"
#: The decoders pass each other the chunks that came to the wrong one.
_FORWARDING: Final = "decoder"
_WATCHED: Final = "dashboard"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """*source* may open connections to *port* of *target*."""

    source: str
    target: str
    port: int

    def __str__(self) -> str:
        """Say it as people do."""
        return f"{self.source} -> {self.target}:{self.port}"


def faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Say where the policies of a whole installation differ from what it needs."""
    roles = {each.role for each in manifests if each.pod is not None}
    policies = [each for each in manifests if each.kind == "NetworkPolicy"]
    needs = set(needed(manifests))
    yield from _general_faults(policies)
    allowed = set(_allowed(policies, "egress"))
    yield from _differences("egress", {edge for edge in needs if edge.source in roles}, allowed)
    allowed = set(_allowed(policies, "ingress"))
    yield from _differences("ingress", {edge for edge in needs if edge.target in roles}, allowed)


def _differences(way: str, needs: set[Edge], allowed: set[Edge]) -> Iterator[str]:
    for edge in sorted(needs - allowed):
        yield f"NetworkPolicy: no {way} rule for {edge}, which the manifests need"
    for edge in sorted(allowed - needs):
        yield f"NetworkPolicy: an {way} rule for {edge}, which nothing needs"


def _general_faults(policies: Iterable[Manifest]) -> Iterator[str]:
    """Say whether somebody is denied nothing, or cannot ask for a name."""
    everyone = [each.spec for each in policies if not each.spec.get("podSelector")]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in everyone:
        yield "NetworkPolicy: none denies everybody everything"
    ports = {port for spec in everyone for rule in spec.get("egress", ()) for port in _ports(rule)}
    if ports != {53}:
        yield f"NetworkPolicy: everybody may reach 53 and no more, not {sorted(ports)}"


def needed(manifests: Sequence[Manifest]) -> Iterator[Edge]:
    """Derive every edge of an installation."""
    roles = {each.role for each in manifests if each.pod is not None}
    for each in manifests:
        if each.is_ksvc:
            yield from _edges("serving", each.role, _QUEUE_PROXY)
            yield from _edges("monitoring", each.role, _QUEUE_PROXY_METRICS)
        if each.pod is not None:
            yield from _pod_edges(each)
        yield from _reference_edges(each)
    if _FORWARDING in roles:
        yield from _edges(_FORWARDING, _FORWARDING, _APP)
    if _WATCHED in roles:
        yield from _edges("viewers", _WATCHED, _APP)


def _pod_edges(workload: Manifest) -> Iterator[Edge]:
    """Derive what a pod is asked, and whom it asks, from its ports and its environment."""
    role = workload.role
    for container in workload.containers:
        if any(port["containerPort"] in _APP for port in container.get("ports", ())):
            yield from _edges("monitoring", role, _APP)
        for argument in container.get("args", ()):
            yield from _report_edges(role, str(argument))
        variables = {each["name"]: each for each in container.get("env", ())}
        if "HOST" in variables:
            yield from _edges(role, "serving", _INGRESS)
        if "KAFKA_BROKERS" in variables:
            yield from _edges(role, "kafka", _KAFKA)
        if "REDIS_URL" in variables:
            yield from _redis_edges(role, part(variables["REDIS_URL"], "valueFrom"))


def _report_edges(role: str, argument: str) -> Iterator[Edge]:
    """An argument that is a URL names the plain Service that the pod reports to."""
    url = urlsplit(argument)
    return _edges(role, str(url.hostname), _APP) if url.scheme == "http" else iter(())


def _redis_edges(role: str, value_from: Object) -> Iterator[Edge]:
    """A URL that is a secret names a Redis elsewhere: ours asks for no password."""
    if "secretKeyRef" in value_from:
        return _edges(role, "redis-elsewhere", _REDIS_ELSEWHERE)
    return _edges(role, "redis", _REDIS)


def _reference_edges(manifest: Manifest) -> Iterator[Edge]:
    """Derive who sends events to whom from sinks and subscribers."""
    spec = manifest.spec
    if manifest.kind == "SinkBinding":
        yield from _event_edges(str(part(spec, "subject").get("name")), part(spec, "sink"))
    if manifest.kind == "ContainerSource":
        yield from _event_edges(manifest.role, part(spec, "sink"))
    if manifest.kind in {"KafkaSource", "Trigger"}:
        for target in (part(spec, "subscriber"), part(spec, "delivery", "deadLetterSink")):
            if _is_service(part(target, "ref")):
                yield from _event_edges("eventing", target)


def _event_edges(source: str, destination: Object) -> Iterator[Edge]:
    ref = part(destination, "ref")
    if _is_service(ref):
        return _edges(source, str(ref["name"]), _APP)
    if ref.get("kind") == "Service":
        return _edges(source, "serving", _INGRESS)
    return _edges(source, "eventing", _APP)


def peer(name: str, roles: Sequence[str]) -> Object | None:
    """Return what a rule calls *name*, one of *roles* or a part; none for what is outside."""
    if name in roles:
        return {"podSelector": {"matchLabels": {ROLE: name}}}
    if name == "viewers":
        return {"namespaceSelector": {"matchLabels": {_VIEWERS: "true"}}}
    spaces = [space for space, name_of in _PARTS.items() if name_of == name]
    if not spaces:
        return None
    wanted = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": spaces}
    return {"namespaceSelector": {"matchExpressions": [wanted]}}


def _is_service(ref: Object) -> bool:
    """Tell a plain Service: an event for it goes straight to its pods."""
    return (ref.get("apiVersion"), ref.get("kind")) == ("v1", "Service")


def _edges(source: str, target: str, ports: Iterable[int]) -> Iterator[Edge]:
    return (Edge(source, target, port) for port in ports)


def _allowed(policies: Iterable[Manifest], way: str) -> Iterator[Edge]:
    """Read the edges of the policies of single roles; *way* is ingress or egress."""
    for policy in policies:
        blocks = str(part(policy.metadata, "annotations").get(_IP_BLOCKS, "anybody"))
        for role in _selected(part(policy.spec, "podSelector")):
            for rule in policy.spec.get(way, ()):
                for other, port in _peers(rule, way, blocks):
                    yield Edge(role, other, port) if way == "egress" else Edge(other, role, port)


def _peers(rule: Object, way: str, blocks: str) -> Iterator[tuple[str, int]]:
    """Say whom a rule lets through at which port; *blocks* is who answers at address ranges."""
    for port in _ports(rule):
        others = rule.get("from" if way == "ingress" else "to") or [{"outside": port}]
        for other in {name for peer in others for name in _named(peer, blocks)}:
            yield other, port


def _ports(rule: Object) -> list[int]:
    return [each["port"] for each in rule.get("ports", ())]


def _named(peer: Object, blocks: str) -> Iterator[str]:
    """Say who a peer of a rule is; one that we cannot name is a fault of its own."""
    if "outside" in peer:
        yield _OUTSIDE.get(peer["outside"], "anybody")
    elif "ipBlock" in peer:
        yield blocks
    elif set(peer) == {"podSelector"}:
        yield from _selected(part(peer, "podSelector")) or ["every pod"]
    elif _VIEWERS in part(peer, "namespaceSelector", "matchLabels"):
        yield "viewers"
    else:
        for namespace in _values(part(peer, "namespaceSelector")):
            yield _PARTS.get(namespace, f"namespace {namespace}")


def _selected(selector: Object) -> list[str]:
    role = role_of(part(selector, "matchLabels"))
    return [role] if role else _values(selector)


def _values(selector: Object) -> list[str]:
    expressions: Any = selector.get("matchExpressions", ())
    return [value for each in expressions for value in each.get("values", ())]
