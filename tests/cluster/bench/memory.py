"""Memory of every container of every pod, as the kubelet counts it."""

from __future__ import annotations

import json
import secrets
import time

from tests.cluster.kube import NAMESPACE, eventually, run
from tests.cluster.lines import Playing, calls_of, line_of, through_gateway

MIB = 1 << 20
#: They have no pod while nobody speaks.
SLEEPERS = ("sentiment", "board")
CALLS = 4
SECONDS = 60
#: The kubelet counts a pod that just began as it was before its first request.
BEGUN_S = 30


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


def _all_counted(cluster):
    """Return the summaries once the kubelet has looked at every pod, none of which sleeps."""
    awake = all(cluster.pods_of(name) for name in SLEEPERS)
    names = {pod.name for pod in cluster.pods("")}
    found = summaries(cluster)
    return found if awake and names <= {pod for pod, _ in found} else None


def measure(cluster):
    """Yield a table of what runs while people speak: then nothing sleeps."""
    gate = through_gateway(cluster)
    calls = calls_of(f"bench-{secrets.token_hex(3)}", CALLS, SECONDS)
    with Playing(calls, [line_of(call, gate) for call in calls]) as playing:
        time.sleep(BEGUN_S)
        found = eventually(lambda: _all_counted(cluster), 90, every_s=5)
        playing.end()
    yield "| pod | container | RSS MiB | working set MiB |"
    yield "|---|---|---|---|"
    for (pod, container), each in sorted(found.items()):
        memory = each["memory"]
        rss, used = (memory[name] / MIB for name in ("rssBytes", "workingSetBytes"))
        yield f"| {pod} | {container} | {rss:.0f} | {used:.0f} |"
