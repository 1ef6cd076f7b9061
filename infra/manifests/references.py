"""What one object of an installation says of another, held to what is there.

A name that nothing has is no fault to the API server: the pod waits for its Secret, the sink is
never Ready, the event is answered 404.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from infra.manifests.manifest import Manifest, role_of
from infra.manifests.objects import Object, every, part

#: The Secrets that docs/cluster.md asks the owner of an installation to make, with their keys.
OWNERS_SECRETS: Final[Mapping[str, frozenset[str]]] = {
    "linewatch": frozenset({"TOKENS", "COOKIE_KEYS"}),
    "linewatch-line": frozenset({"TOKEN"}),
    "linewatch-redis": frozenset({"REDIS_URL"}),
    "linewatch-kafka": frozenset(
        {"protocol", "ca.crt", "sasl.mechanism", "user", "password"},
    ),
}
#: Which of the Secret's keys the receiver of a KafkaSink reads whatever they say.
_SINKS_KEY: Final = "protocol"
#: What Knative brings: (kind, namespace, name).
_PLATFORMS: Final = {("ConfigMap", "knative-eventing", "kafka-broker-config")}
_DESTINATIONS: Final = ("sink", "subscriber", "reply", "deadLetterSink")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s,]+")
_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_CLUSTER: Final = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?)?")
_KSVC_PORTS: Final = frozenset({80})

Served = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class References:
    """The references of *manifests*; *served* is which paths a role takes events at, by role."""

    manifests: Sequence[Manifest]
    served: Served = field(default_factory=dict)

    def faults(self) -> Iterator[str]:
        """Say which reference leads to nothing."""
        for each in self.manifests:
            found = (
                *self._destination_faults(each),
                *self._object_faults(each),
                *self._secret_faults(each),
                *self._config_faults(each),
                *self._url_faults(each),
            )
            # A setting may stand in many places of one object.
            yield from (f"{each}: {fault}" for fault in dict.fromkeys(found))

    def _find(self, kind: str, name: object, namespace: str, group: str = "") -> Manifest | None:
        return self._known.get((group, kind, namespace, str(name)))

    @cached_property
    def _known(self) -> Mapping[tuple[str, str, str, str], Manifest]:
        return {(each.group, each.kind, _home(each), each.name): each for each in self.manifests}

    def _resolve(self, manifest: Manifest, ref: Object) -> Manifest | None:
        at = Manifest("", ref)
        namespace = str(ref.get("namespace") or _home(manifest))
        return self._find(at.kind, ref.get("name"), namespace, at.group)

    def _destination_faults(self, manifest: Manifest) -> Iterator[str]:
        """Say which destination of events there is not, or does not take them at that path."""
        for where in _DESTINATIONS:
            for destination in under(manifest.spec, where):
                fault = self._destination_fault(manifest, destination)
                yield from [f"{where}: {fault}"] if fault else []

    def _destination_fault(self, manifest: Manifest, destination: Object) -> str:
        ref, uri = part(destination, "ref"), str(destination.get("uri", ""))
        if not ref:
            return "" if _URL.match(uri) else "names neither an object nor a URL"
        target = self._resolve(manifest, ref)
        if target is None:
            return _missing(ref)
        takes = self._takes(target, uri)
        return "" if takes else f"{target.kind} {target.name} takes no event at {uri or '/'!r}"

    def _takes(self, target: Manifest, uri: str) -> bool:
        role = role_of(part(target.spec, "selector"))
        if role in self.served:
            return uri.strip("/") in self.served[role]
        # Which paths a Service of somebody else has we cannot know; a function of ours has one.
        is_plain = (target.kind, target.group) == ("Service", "")
        return is_plain or not uri.strip("/")

    def _object_faults(self, manifest: Manifest) -> Iterator[str]:
        """Say which object, named beside the destinations, there is not."""
        spec, group = manifest.spec, manifest.group
        for ref in (part(spec, "subject"), part(spec, "config")):
            place = (ref.get("kind"), ref.get("namespace"), ref.get("name"))
            if ref.get("kind") and place not in _PLATFORMS and not self._resolve(manifest, ref):
                yield _missing(ref)
        named = {
            "Broker": (spec.get("broker") if manifest.kind == "Trigger" else None, group),
            "ServiceAccount": ((manifest.pod or {}).get("serviceAccountName"), ""),
        }
        for kind, (name, of_group) in named.items():
            if name and not self._find(kind, name, _home(manifest), of_group):
                yield f"there is no {kind} {name}"

    def _secret_faults(self, manifest: Manifest) -> Iterator[str]:
        """Say which Secret, or key of one, is neither here nor asked of the owner."""
        wanted = [(ref.get("name"), ref.get("key")) for ref in under(manifest.spec, "secretKeyRef")]
        for volume in (manifest.pod or {}).get("volumes", ()):
            mounted = part(volume, "secret")
            wanted += [(mounted.get("secretName"), key) for key in _items(mounted)]
        for secret in under(part(manifest.spec, "auth"), "secret"):
            wanted.append((part(secret, "ref").get("name"), _SINKS_KEY))
        for name, key in wanted:
            yield from self._key_faults("Secret", name, key, _home(manifest))

    def _config_faults(self, manifest: Manifest) -> Iterator[str]:
        """Say which ConfigMap, or key of one, there is not: the pod would never start."""
        wanted = [
            (ref.get("name"), ref.get("key")) for ref in under(manifest.spec, "configMapKeyRef")
        ]
        for volume in (manifest.pod or {}).get("volumes", ()):
            mounted = part(volume, "configMap")
            wanted += [(mounted.get("name"), key) for key in _items(mounted)]
        for name, key in wanted:
            yield from self._key_faults("ConfigMap", name, key, _home(manifest))

    def _key_faults(self, kind: str, name: object, key: object, namespace: str) -> Iterator[str]:
        found = self._find(kind, name, namespace)
        known = OWNERS_SECRETS.get(str(name)) if kind == "Secret" else None
        if found is not None:
            known = frozenset({*part(found.body, "data"), *part(found.body, "stringData")})
        if known is None:
            yield f"there is no {kind} {name}"
        elif key is not None and key not in known:
            yield f"{kind} {name} has no key {key}"

    def _url_faults(self, manifest: Manifest) -> Iterator[str]:
        """Say which URL in a pod's settings names a Service of the cluster that is not here."""
        texts = [*part(manifest.body, "data").values()] if manifest.kind == "ConfigMap" else []
        for container in manifest.containers:
            texts += [each.get("value") for each in container.get("env", ())]
            texts += container.get("args", ())
        for text in texts:
            for url in _URL.findall(str(text or "")):
                yield from self._host_faults(url, _home(manifest))

    def _host_faults(self, url: str, home: str) -> Iterator[str]:
        parsed = urlsplit(url)
        local = _CLUSTER.fullmatch(parsed.hostname or "")
        if local is None:
            return
        name, namespace = local[1], local[2] or home
        ports = self._service_ports(name)
        port = parsed.port or _PORTS.get(parsed.scheme)
        # A Service of another namespace may be anybody's, but for one that has the name of ours.
        if namespace not in ports and (ports or namespace == home):
            yield f"{url}: there is no Service {name} in namespace {namespace}"
        elif port not in ports.get(namespace, {port}):
            yield f"{url}: Service {name} has no port {port}"

    def _service_ports(self, name: str) -> dict[str, frozenset[int]]:
        """Return the ports of the Service called *name*, by the namespace it is in."""
        return {
            _home(each): _ports(each)
            for each in self.manifests
            if (each.kind, each.name) == ("Service", name)
        }


def under(value: object, name: str) -> Iterator[Object]:
    """Yield every object that is called *name*, however deep in *value* it lies."""
    return (each for each in every(value, name) if isinstance(each, Mapping))


def _home(manifest: Manifest) -> str:
    return str(manifest.metadata.get("namespace", ""))


def _missing(ref: Object) -> str:
    where = f" in namespace {ref['namespace']}" if ref.get("namespace") else ""
    return f"there is no {ref.get('kind')} {ref.get('name')} of {ref.get('apiVersion')}{where}"


def _items(mounted: Object) -> Iterator[object]:
    """Yield each key that a volume names; None stands for all, where it names none."""
    if mounted:
        yield from [each.get("key") for each in mounted.get("items", ())] or [None]


def _ports(service: Manifest) -> frozenset[int]:
    if service.is_ksvc:
        return _KSVC_PORTS
    return frozenset(each["port"] for each in service.spec.get("ports", ()))
