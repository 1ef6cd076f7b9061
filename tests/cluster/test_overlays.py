"""Every overlay as the API server sees it, and the pods as they really run."""

from __future__ import annotations

import pytest

from tests.cluster import crds, deployment
from tests.cluster.kube import run


@pytest.fixture(name="empty", scope="module")
def _empty(cluster):
    """A namespace in which nothing is, so that every document is new, of kinds that are known."""
    name = "linewatch-dry"
    run("kubectl", "create", "namespace", name, env=cluster.env, check=False)
    with crds.present(cluster):
        yield name
    run("kubectl", "delete", "namespace", name, "--wait=false", env=cluster.env)


@pytest.mark.parametrize("overlay", deployment.overlays())
def test_overlay_is_accepted(cluster, empty, overlay):
    """The API server takes every document of the overlay, in a dry run."""
    documents = deployment.render(cluster, overlay)
    told = deployment.dry_run(cluster, documents, empty).splitlines()
    assert len(told) == len(documents)


def test_no_pod_can_write(cluster):
    """In every pod each container is no root, and none of ours can write to its root."""
    wrong = []
    for pod in cluster.pods(""):
        user = cluster.execute(pod, "id", "-u").strip()
        written = cluster.execute(
            pod, "sh", "-c", "touch /written 2>/dev/null && echo written || true"
        ).strip()
        if user == "0" or written:
            wrong.append((pod.name, user, written))
    assert wrong == []


def test_every_container_is_restricted(cluster):
    """Every container of every pod, Knative's too, runs as no root with a root it cannot write."""
    wrong = []
    for item in cluster.get("pods")["items"]:
        whole = item["spec"].get("securityContext", {})
        spec = item["spec"]
        for container in spec["containers"] + spec.get("initContainers", []):
            own = {**whole, **container.get("securityContext", {})}
            if not (own.get("runAsNonRoot") and own.get("readOnlyRootFilesystem")):
                wrong.append((item["metadata"]["name"], container["name"]))
    assert wrong == []
