"""The demos as a user runs them: one after the other, from a fresh namespace, on playing lines."""

from __future__ import annotations

import pytest

from tests.cluster import deployment
from tests.cluster.kube import NAMESPACE, eventually, run

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]
LINES = 4
#: A node of two CPUs starts three decoders more than 15 s apart.
SLOW_NODE = {"LINES": str(LINES), "MOST_MOVES": "2", "PATIENCE": "2"}


def _settings(cluster):
    """What the demos change: the lines, and how the decoder is scaled, set and reached."""
    service = cluster.get("ksvc", "decoder")["spec"]
    annotations = service["template"]["metadata"]["annotations"]
    return {
        "lines": cluster.get("deployment", "gateway")["spec"]["replicas"],
        "scale": {name: text for name, text in annotations.items() if name.endswith("-scale")},
        "env": service["template"]["spec"]["containers"][0]["env"],
        "traffic": [(each.get("latestRevision"), each["percent"]) for each in service["traffic"]],
    }


@pytest.fixture(name="fresh", scope="module")
def _fresh(bare, image):
    """Linewatch as deploy.sh brings it into a namespace that is not there, with lines that play."""
    gone = ("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=280s")
    run(*gone, env=bare.env, timeout_s=300)
    deployment.deploy(bare, "box", image)
    bare.kubectl("scale", "deployment", "gateway", "--replicas", str(LINES))
    # The overlay of the box lets the decoder scale; that of dev does not.
    bare.kn("service", "update", "decoder", "--scale-max", "1")
    yield bare
    deployment.deploy(bare, "box", image)


@pytest.mark.parametrize(
    "name",
    [
        "10-sentiment-from-zero",
        "20-scale-out",
        "30-traffic-split",
        "40-pod-deleted",
        "50-load-spread",
    ],
)
def test_demo_puts_all_back(fresh, name):
    """The demo shows what it promises, and leaves lines, scale, model and traffic as they were."""
    before = _settings(fresh)
    fresh.demo(name, timeout_s=1100, **SLOW_NODE)
    eventually(lambda: _settings(fresh) == before, 60)


def test_backlog_wakes_one_pod(fresh):
    """A backlog of 1,000 utterances is scored by a single pod."""
    shown = fresh.demo("10-sentiment-from-zero", timeout_s=1100, EVENTS="1000", **SLOW_NODE)
    assert "all 1000 scored" in shown
    assert "by up to 1 pods" in shown
