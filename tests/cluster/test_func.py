"""`kn func deploy` for real: the function of func.yaml on the project's image, bound to a sink."""

from __future__ import annotations

import json
import shutil

import pytest
import urllib3

from linewatch import events
from linewatch.calls import Channel, ChannelKey, Utterance
from tests.cluster.kube import BOX, NAMESPACE, ROOT, eventually, run

FUNCTION_NAMESPACE = "linewatch-func"
STARTED_AT_MS = 1_767_225_600_000
ROAD = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {FUNCTION_NAMESPACE}}}
---
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {{name: sentiment, namespace: {FUNCTION_NAMESPACE}}}
spec:
  subject: {{apiVersion: serving.knative.dev/v1, kind: Service, name: sentiment}}
  sink:
    ref: {{apiVersion: v1, kind: Service, name: sink, namespace: {NAMESPACE}}}
    uri: /scores
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: func, namespace: {NAMESPACE}}}
spec:
  podSelector: {{matchLabels: {{app.kubernetes.io/name: sink}}}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector:
            matchLabels: {{kubernetes.io/metadata.name: {FUNCTION_NAMESPACE}}}
      ports: [{{port: 8080}}]
"""


def _is_built():
    """Tell whether the box has built the CLI already: that takes minutes."""
    if not BOX.exists():
        return False
    path = run("bash", "-c", f'eval "$("{BOX}" env)"; command -v kn-func || true')
    return bool(path.strip())


pytestmark = [pytest.mark.timeout(900)] + ([] if _is_built() else [pytest.mark.full])


class Func:
    """The CLI, on a copy of func.yaml: a deploy writes into its folder."""

    def __init__(self, cluster, folder):
        self._cluster = cluster
        self._folder = folder
        shutil.copy(ROOT / "func.yaml", folder)

    def __call__(self, *arguments):
        """Run one of its commands; return what it wrote."""
        command = [BOX, "func", *arguments, "--namespace", FUNCTION_NAMESPACE]
        where = ("bash", "-c", 'cd "$0" && exec "$@"', self._folder)
        return run(*where, *command, env=self._cluster.env, timeout_s=900)

    def deploy(self, image, *more):
        """Deploy the function on *image*."""
        told = ("--image", image, "--build=false", "--push=false")
        return self("deploy", *told, *more)


@pytest.fixture(name="road")
def _road(cluster):
    """A namespace of its own, in which a function called sentiment is bound to our sink."""
    run("kubectl", "apply", "-f", "-", env=cluster.env, stdin=ROAD)
    yield
    run("kubectl", "-n", NAMESPACE, "delete", "networkpolicy", "func", env=cluster.env)
    gone = ("kubectl", "delete", "namespace", FUNCTION_NAMESPACE, "--timeout=120s")
    run(*gone, env=cluster.env, timeout_s=150)


def _get(cluster, *what):
    told = run("kubectl", "-n", FUNCTION_NAMESPACE, "get", *what, "-o", "json", env=cluster.env)
    return json.loads(told)


def _service(cluster):
    return _get(cluster, "ksvc", "sentiment")


def _is_ready(cluster):
    status = _service(cluster)["status"]
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return conditions.get("Ready") == "True"


def _envs(cluster):
    (container,) = _service(cluster)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def _post(cluster, call):
    """Post one utterance of *call*; return the status of the answer."""
    key = ChannelKey("default", call, Channel.CUSTOMER)
    said = Utterance(key, STARTED_AT_MS, 0, 0, 0, 4000, "this is the worst service i have ever had")
    headers, body = events.to_http(events.utterance_final(said))
    host = _service(cluster)["status"]["url"].partition("://")[2]
    answer = urllib3.request(
        "POST",
        f"http://{cluster.gateway}/",
        body=body,
        headers={**headers, "Host": host},
        timeout=60,
        retries=False,
    )
    return answer.status, answer.data


@pytest.mark.usefixtures("road")
def test_func_deploys_a_scorer(cluster, image, topics, run, tmp_path):
    """Deployed by `kn func` and bound to a sink, it scores into the topic, sleeps, and goes."""
    func = Func(cluster, tmp_path)
    func.deploy(image)
    eventually(lambda: "K_SINK" in _envs(cluster) and _is_ready(cluster), 120)
    assert _post(cluster, run) == (204, b"")
    eventually(lambda: topics.published("scores", {run}), 60)
    assert "sentiment" in func("describe", "sentiment")
    assert "sentiment" in func("list")
    func.deploy(image, "--env", "CONSUMER=second")
    eventually(lambda: _envs(cluster).get("CONSUMER") == "second" and _is_ready(cluster), 120)
    assert "K_SINK" in _envs(cluster)
    eventually(lambda: _get(cluster, "pods")["items"] == [], 240)
    func("delete", "sentiment")
    assert _get(cluster, "ksvc")["items"] == []
