"""Linewatch taken from a cluster; what it has recorded stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.deploy.checks import topic_owners
from infra.deploy.cluster import Cluster
from infra.deploy.kubectl import Kubectl, listed
from infra.deploy.pods import SERVICE_LABEL
from infra.deploy.progress import Progress
from infra.deploy.stages import stages
from infra.manifests.objects import Object, at, kubectl_kind, name

_KEPT: Final = {"namespace", "persistentvolumeclaim"}
_TOPICS: Final = "linewatch-topics"


def faults(kubectl: Kubectl, objects: Sequence[Object]) -> list[str]:
    """Say whose deletion would delete data."""
    return [
        f"KafkaSink {name(each)} owns its topic {at(each, 'spec', 'topic')}: with it all that the "
        "topic holds is deleted; copy what you want to keep, then say --force"
        for each in topic_owners(kubectl, objects)
    ]


def remove(cluster: Cluster, objects: Sequence[Object], progress: Progress) -> None:
    """Delete *objects*, the last applied first, but for those that hold data.

    Raises:
        NotReady: a decoder had not ended in time.
    """
    kubectl = cluster.kubectl
    wanted = stages(objects)
    progress.say("simulated lines")
    _delete(kubectl, wanted.lines)
    progress.say("sources, functions and sinks: decoders end their calls first")
    _delete(kubectl, wanted.road)
    cluster.wait_until(lambda: _function_pods(kubectl, wanted.road))
    _delete(kubectl, wanted.sinks)
    progress.say("settings, accounts, policies and the store")
    _delete(kubectl, wanted.ground)
    progress.say("deleted")


def _delete(kubectl: Kubectl, objects: Sequence[Object]) -> None:
    # A binding that goes before its function makes a new revision of it.
    gone = [each for each in reversed(objects) if kubectl_kind(each) not in _KEPT]
    if gone:
        kubectl.text("delete", "--ignore-not-found", "--filename=-", stdin=listed(gone))


def _function_pods(kubectl: Kubectl, objects: Sequence[Object]) -> list[str]:
    """Return the pods of functions that still end; until then they need the store."""
    services = {name(each) for each in objects if kubectl_kind(each) == "ksvc"}
    return [
        f"pod/{name(each)}"
        for each in kubectl.objects("pods", f"--selector={SERVICE_LABEL}")
        if at(each, "metadata", "labels", SERVICE_LABEL) in services
    ]


def kept(kubectl: Kubectl, objects: Sequence[Object]) -> list[str]:
    """Say what stays, and how to delete that too."""
    claims = [f"pvc/{name(each)}" for each in kubectl.objects("persistentvolumeclaim")]
    names = kubectl.text("get", "secrets", "--output=name").split()
    topics = sorted(
        topic
        for each in objects
        if (kubectl_kind(each), name(each)) == ("configmap", _TOPICS)
        for topic in each["data"]
    )
    stays = ", ".join([f"namespace {kubectl.namespace}", *claims, *names])
    listed_topics = ", ".join(topics) or "as they are"
    tool = "kafka-topics.sh --bootstrap-server KAFKA --delete --topic"
    return [
        f"kept: {stays}; in Kafka the topics {listed_topics}",
        f"to delete these too: kubectl delete namespace {kubectl.namespace}",
        f"  and in Kafka: {tool} '{'|'.join(topics) or 'TOPICS'}'",
    ]
