"""The Secrets that an overlay names and does not bring: names and keys, never the values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from infra.deploy.kubectl import Kubectl
from infra.deploy.pods import pod_count
from infra.manifests.objects import Object, at, every, kubectl_kind, name, template

_KEYS: Final = "{{range $key, $_ := .data}}{{$key}} {{end}}"
_TOKENS: Final = (
    "--from-literal=TOKENS=default=$(printf %s \"$TOKEN\" | sha256sum | cut -d' ' -f1)"
    " --from-literal=COOKIE_KEYS=$(openssl rand -hex 32)"
)
_REDIS: Final = "--from-literal=REDIS_URL=rediss://user:password@redis.example.com:6380/0"
_KAFKA: Final = (
    "--from-literal=protocol=SASL_SSL --from-literal=sasl.mechanism=SCRAM-SHA-512"
    " --from-literal=user=U --from-literal=password=P --from-file=ca.crt"
)
#: How each is made; the same commands stand in docs/cluster.md.
_MADE_BY: Final = {
    "linewatch": _TOKENS,
    "linewatch-line": '--from-literal=TOKEN="$TOKEN"',
    "linewatch-redis": _REDIS,
    "linewatch-kafka": _KAFKA,
}


def named(objects: Iterable[Object]) -> dict[str, set[str]]:
    """Return the Secrets that *objects* need from elsewhere, and of each the keys."""
    found: dict[str, set[str]] = {}
    brought = set()
    for each in objects:
        if kubectl_kind(each) == "secret":
            brought.add(name(each))
        elif not (template(each) and pod_count(each) == 0):
            for secret, keys in _named_by(each):
                found.setdefault(secret, set()).update(keys)
    return {secret: keys for secret, keys in found.items() if secret not in brought}


def _named_by(of: Object) -> Iterator[tuple[str, set[str]]]:
    for ref in every(of, "secretKeyRef"):
        if not ref.get("optional"):
            yield ref["name"], {ref["key"]}
    for volume in every(of, "secret"):
        if "secretName" in volume and not volume.get("optional"):
            yield volume["secretName"], {each["key"] for each in volume.get("items", ())}
    for ref in (
        *every(of, "secretRef"),
        *(at(each, "secret", "ref") for each in every(of, "auth")),
    ):
        if ref and not ref.get("optional"):
            yield ref["name"], set()


def missing(kubectl: Kubectl, objects: Iterable[Object]) -> Iterator[str]:
    """Say which Secrets the namespace lacks, or which keys of them, and how to make them."""
    for secret, keys in sorted(named(objects).items()):
        template_of = f"--output=go-template={_KEYS}"
        keys_there = kubectl.text("get", "secret", secret, "--ignore-not-found", template_of)
        lacking = keys - set(keys_there.split())
        if keys_there.strip() and not lacking:
            continue
        what = f"lacks {', '.join(sorted(lacking))}" if keys_there.strip() else "is missing"
        yield f"Secret {secret} {what}: {command(kubectl.namespace, secret, keys)}"


def command(namespace: str, secret: str, keys: Iterable[str]) -> str:
    """Return the command that makes *secret*."""
    literals = " ".join(f"--from-literal={key}=..." for key in sorted(keys))
    what = _MADE_BY.get(secret, literals)
    return f"kubectl -n {namespace} create secret generic {secret} {what}".rstrip()
