"""What a cluster must have before anything is applied; each fault is one line with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from infra.deploy import room, secrets
from infra.deploy.kubectl import CommandFailed, Kubectl
from infra.deploy.served import Served
from infra.manifests.objects import Object, at, kubectl_kind, name
from linewatch.errors import SettingsError

_DEFAULT: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_RUNS: Final = "--field-selector=status.phase!=Succeeded,status.phase!=Failed"


def answers(kubectl: Kubectl) -> None:
    """See that there is a cluster.

    Raises:
        SettingsError: none answers.
    """
    try:
        kubectl.raw("/version")
    except CommandFailed as error:
        raise SettingsError(
            f"no cluster answers ({error.detail}): see kubectl config current-context"
        ) from error


@dataclass(frozen=True)
class Findings:
    """What must be mended first, and what is only worth a line."""

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def findings(
    kubectl: Kubectl, served: Served, objects: Sequence[Object], *, force: bool
) -> Findings:
    """Check the cluster; with *force* too little room is only noted."""
    faults, notes = list(served.lacks(objects)), []
    known = [each for each in objects if served.knows(each)]
    for check in (_storage_faults, _broker_faults, secrets.missing, _sink_faults, room_faults):
        try:
            found = list(check(kubectl, known))
        except CommandFailed as error:
            if "forbidden" not in error.detail.lower():
                raise
            notes.append(f"not checked: {error.detail}")
            continue
        (notes if force and check is room_faults else faults).extend(found)
    return Findings(tuple(faults), tuple(notes))


def _storage_faults(kubectl: Kubectl, objects: Sequence[Object]) -> Iterator[str]:
    """A claim that names no class wants a default one, unless it has its volume already."""
    claims = [
        f"{name(claim)}-{name(each)}-0"
        for each in objects
        if kubectl_kind(each) == "statefulset"
        for claim in at(each, "spec", "volumeClaimTemplates") or ()
        if not at(claim, "spec", "storageClassName")
    ]
    if not claims or _are_bound(kubectl, claims):
        return
    classes = kubectl.objects("storageclass")
    if not any(_is_default(each) for each in classes):
        there = ", ".join(sorted(name(each) for each in classes)) or "none"
        yield (
            f"no StorageClass is the default one (there: {there}), so {claims[0]} gets no volume: "
            "kubectl annotate storageclass NAME " + _DEFAULT[0] + "=true"
        )


def _are_bound(kubectl: Kubectl, claims: Sequence[str]) -> bool:
    found = kubectl.objects("persistentvolumeclaim", "--ignore-not-found", *claims)
    return {name(each) for each in found if at(each, "status", "phase") == "Bound"} >= set(claims)


def _is_default(storage_class: Object) -> bool:
    notes = at(storage_class, "metadata", "annotations") or {}
    return any(notes.get(note) == "true" for note in _DEFAULT)


def _broker_faults(kubectl: Kubectl, objects: Sequence[Object]) -> Iterator[str]:
    for each in objects:
        config = at(each, "spec", "config")
        if kubectl_kind(each) != "broker" or at(config, "kind") != "ConfigMap":
            continue
        where = config.get("namespace") or kubectl.namespace
        elsewhere = kubectl.elsewhere(where)
        if not elsewhere.objects("configmap", config["name"], "--ignore-not-found"):
            yield (
                f"Broker {name(each)} needs the ConfigMap {config['name']} in {where}: install "
                "Knative Kafka's Broker (eventing-kafka-broker.yaml), or choose another overlay"
            )


def _sink_faults(kubectl: Kubectl, objects: Sequence[Object]) -> Iterator[str]:
    """Those fields of a KafkaSink can never be changed."""
    plain = [
        each
        for each in objects
        if kubectl_kind(each) == "kafkasink" and at(each, "spec", "numPartitions") is None
    ]
    for each in topic_owners(kubectl, plain):
        yield (
            f"KafkaSink {name(each)} of an older version owns its topic, deleting it deletes what "
            f"{at(each, 'spec', 'topic')} holds: copy that if you want it, then kubectl -n "
            f"{kubectl.namespace} delete kafkasink {name(each)}"
        )


def topic_owners(kubectl: Kubectl, objects: Sequence[Object]) -> list[Object]:
    """Return the KafkaSinks among *objects* that, as they are there, would delete their topic."""
    sinks = [each for each in objects if kubectl_kind(each) == "kafkasink"]
    live = kubectl.live(sinks) if sinks else []
    return [
        each
        for each in live
        if at(each, "spec", "numPartitions") and at(each, "spec", "replicationFactor")
    ]


def room_faults(kubectl: Kubectl, objects: Sequence[Object]) -> Iterator[str]:
    """Say what does not fit on the nodes."""
    beside = room.sidecar(_serving_settings(kubectl))
    pods = room.wanted(objects, beside)
    places = room.free(
        kubectl.objects("nodes"), kubectl.objects("pods", "--all-namespaces", _RUNS), objects
    )
    lost = room.unplaced(pods, places)
    if lost is None:
        return
    all_of_them = sum((each for _, each in pods), room.Room())
    left = sum(places, room.Room())
    yield (
        f"no room: {len(pods)} pods ask for {all_of_them}, {left} are free on {len(places)} "
        f"node(s), and none is left for a pod of {lost[0]} ({lost[1]}): add a node, lower the "
        "requests in an overlay of your own, or go on with --force"
    )


def _serving_settings(kubectl: Kubectl) -> dict[str, str]:
    serving = kubectl.elsewhere("knative-serving")
    try:
        found = serving.objects("configmap", "config-deployment", "--ignore-not-found")
    except CommandFailed:
        return {}
    return dict(at(found[0], "data") or {}) if found else {}
