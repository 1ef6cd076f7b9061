"""Who reaches whom: a stand-in pod for each role, and for each namespace that is not ours.

A stand-in carries its role's label, so the policies of that role apply to it. It listens on every
port of the matrix, so a connection that fails was filtered. It is never ready, so that no Service
sends it anything.
"""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

from infra.manifests import network
from infra.manifests.manifest import parse
from tests.cluster.kube import NAMESPACE, PYTHON, eventually, run

#: The app, the queue-proxy's doors, its drain and its metrics, the autoscaler's, and Redis.
PORTS = (8012, 8013, 8022, 8080, 8081, 9090, 9091, 6379)
#: Whom the policies name by their namespace; the last is nobody to them.
OUTSIDERS = {
    "serving": "knative-serving",
    "eventing": "knative-eventing",
    "monitoring": "monitoring",
    "viewers": "linewatch-matrix-viewers",
    "foreign": "linewatch-matrix-foreign",
}
_OURS = ("monitoring", "linewatch-matrix-viewers", "linewatch-matrix-foreign")
_NAME = "matrix"
_LISTEN = f"""
import selectors, socket
ready = selectors.DefaultSelector()
for port in {PORTS!r}:
    server = socket.create_server(("", port), backlog=128)
    ready.register(server, selectors.EVENT_READ)
print("listens", flush=True)
while True:
    for key, _ in ready.select():
        key.fileobj.accept()[0].close()
"""
_REACH = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reach(place):
    try:
        socket.create_connection(tuple(place), 3).close()
    except OSError:
        return None
    return place
with ThreadPoolExecutor(64) as pool:
    print(json.dumps([place for place in pool.map(reach, json.loads(sys.argv[1])) if place]))
"""


def _pod(role, namespace, image):
    labels = {_NAME: role}
    if namespace == NAMESPACE:
        labels["app.kubernetes.io/name"] = role
    container = {
        "name": "listener",
        "image": image,
        "command": [*PYTHON, "-c", _LISTEN],
        "readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 3600},
        "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{_NAME}-{role}", "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [container],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
        },
    }


def _namespace(name):
    labels = {"linewatch-viewers": "true"} if "viewers" in name else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


class Matrix:
    """The stand-ins, their addresses, and what they reach."""

    def __init__(self, cluster, places):
        self._cluster = cluster
        self._places = places
        self.ips = eventually(self._addresses, 120)

    def _addresses(self):
        found = {}
        for item in json.loads(self._kubectl("get", "pods", "-A", "-l", _NAME, "-o", "json"))[
            "items"
        ]:
            state = item["status"].get("containerStatuses", [{}])[0].get("state", {})
            if "running" in state:
                found[item["metadata"]["labels"][_NAME]] = item["status"]["podIP"]
        return found if found.keys() == self._places.keys() else None

    def _kubectl(self, *arguments):
        return run("kubectl", *arguments, env=self._cluster.env)

    def reached(self, source, targets):
        """Return which of *targets* (name -> places) the stand-in of *source* can connect to."""
        places = [place for several in targets.values() for place in several]
        pod = ("-n", self._places[source], f"{_NAME}-{source}")
        told = json.loads(
            self._kubectl("exec", *pod, "--", *PYTHON, "-c", _REACH, json.dumps(places))
        )
        return {
            (name, port)
            for name, several in targets.items()
            for ip, port in several
            if [ip, port] in told
        }

    def all_reached(self, elsewhere):
        """Return everything that each stand-in reaches; *elsewhere* adds to the stand-ins."""

        def edges(source):
            others = {
                role: [(ip, port) for port in PORTS]
                for role, ip in self.ips.items()
                if role != source
            }
            return {(source, *edge) for edge in self.reached(source, {**others, **elsewhere})}

        with ThreadPoolExecutor(4) as pool:
            return set().union(*pool.map(edges, self.ips))


@contextlib.contextmanager
def stand_ins(cluster, image, roles):
    """Put up a stand-in for each of *roles* and each outsider; take them away again."""
    places = {**dict.fromkeys(roles, NAMESPACE), **OUTSIDERS}
    items = [_namespace(name) for name in _OURS]
    items += [_pod(role, namespace, image) for role, namespace in places.items()]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    run("kubectl", "apply", "-f", "-", env=cluster.env, stdin=text)
    try:
        yield Matrix(cluster, places)
    finally:
        run("kubectl", "delete", "pods", "-A", "-l", _NAME, "--wait=false", env=cluster.env)
        run("kubectl", "delete", "namespaces", *_OURS, "--wait=false", env=cluster.env)


def needed(rendered):
    """Return the edges that the rendered manifests need, as (source, target, port)."""
    return {
        (edge.source, edge.target, edge.port)
        for edge in network.needed(parse(rendered, "rendered"))
    }


def roles_of(rendered):
    """Return every role that the rendered manifests make pods of."""
    return sorted({each.role for each in parse(rendered, "rendered") if each.pod is not None})
