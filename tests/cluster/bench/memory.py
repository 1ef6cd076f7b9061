"""Memory of every container of every pod, as the kubelet counts it."""

from __future__ import annotations

import json

from tests.cluster.kube import NAMESPACE, eventually, run

MIB = 1 << 20


def summaries(cluster):
    """Return what the kubelets tell of each container: (pod, container) -> its summary."""
    nodes = run("kubectl", "get", "nodes", "-o", "name", env=cluster.env).split()
    found = {}
    for node in nodes:
        path = f"/api/v1/nodes/{node.partition('/')[2]}/proxy/stats/summary"
        told = json.loads(run("kubectl", "get", "--raw", path, env=cluster.env))
        for pod in told["pods"]:
            if pod["podRef"]["namespace"] == NAMESPACE:
                for each in pod["containers"]:
                    found[pod["podRef"]["name"], each["name"]] = each
    return found


def measure(cluster):
    """Yield a table: pods that sleep are not there."""
    names = {pod.name for pod in cluster.pods("")}

    def all_counted():
        found = summaries(cluster)
        return found if names <= {pod for pod, _ in found} else None

    yield "| pod | container | RSS MiB | working set MiB |"
    yield "|---|---|---|---|"
    for (pod, container), each in sorted(eventually(all_counted, 90, every_s=5).items()):
        memory = each["memory"]
        rss, used = (memory[name] / MIB for name in ("rssBytes", "workingSetBytes"))
        yield f"| {pod} | {container} | {rss:.0f} | {used:.0f} |"
