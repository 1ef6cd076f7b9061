"""One deployment that every cluster test shares, and the calls' one-machine counterpart."""

from __future__ import annotations

import os
import secrets

import pytest

from linewatch.events import TOPICS as TOPIC_OF
from tests.cluster import deployment, kube
from tests.cluster.lines import Playing, assert_whole, at_home, calls_of, line_of, through_gateway
from tests.cluster.spread import are_live
from tests.cluster.topics import DEAD, Topics


def pytest_collection_modifyitems(config, items):
    """Leave the long ones out unless CLUSTER_FULL asks for them; time no fixture."""
    if not os.environ.get("CLUSTER_FULL"):
        left = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    for item in items:
        # The first test waits for the image, and for all to be Ready: these have their own limits.
        marked = item.get_closest_marker("timeout")
        limit_s = marked.args[0] if marked else 300
        item.add_marker(pytest.mark.timeout(limit_s, func_only=True), append=False)


@pytest.fixture(scope="session", name="bare")
def _bare():
    """The cluster, with nothing of ours on it yet."""
    try:
        return kube.connect()
    except kube.Unusable as error:
        pytest.exit(f"cluster tests cannot run: {error}", returncode=1)


@pytest.fixture(scope="session", name="image")
def _image(bare):
    """The image of the files as they are."""
    return deployment.image(bare)


@pytest.fixture(scope="session", name="cluster")
def _cluster(bare, image):
    """The cluster with everything applied and Ready, and no decoder of an earlier revision left."""
    deployment.deploy(bare, "box", image)
    kube.eventually(lambda: _is_new(bare), 300, every_s=2)
    return bare


def _is_new(cluster):
    newest = cluster.get("ksvc", "decoder")["status"]["latestReadyRevisionName"]
    pods = cluster.get("pods", "-l", "serving.knative.dev/service=decoder")["items"]
    return {pod["metadata"]["labels"]["serving.knative.dev/revision"] for pod in pods} == {newest}


@pytest.fixture(name="run")
def _run(request):
    """A name for this test's calls: an ended call's id is taken for a day."""
    name = request.node.name.removeprefix("test_").replace("_", "-")
    return f"{name[:24]}-{secrets.token_hex(3)}"


@pytest.fixture(name="topics")
def _topics(cluster):
    """The topics' records from now on."""
    found = Topics(cluster.bootstrap)
    found.mark(*sorted(set(TOPIC_OF.values())), DEAD)
    return found


@pytest.fixture(name="gate")
def _gate(cluster):
    """The road a phone's requests take to the decoders."""
    return through_gateway(cluster)


@pytest.fixture(name="one_machine")
def _one_machine(prepared_model, tmp_path):
    """Play calls to a decoder on this machine; return the events."""

    def play(calls):
        return at_home(calls, prepared_model, tmp_path)

    return play


@pytest.fixture(name="disturbed")
def _disturbed(cluster, topics, gate, one_machine, run):
    """Play calls of some length, disturb them once all are live, and compare every byte."""

    def play(count, seconds, disturb, repeats=0):
        calls = calls_of(run, count, seconds)
        with Playing(calls, [line_of(call, gate) for call in calls]) as playing:
            kube.eventually(lambda: are_live(cluster, calls), 45)
            disturb()
            playing.end(timeout_s=seconds)
        assert_whole(topics, calls, one_machine(calls), repeats=repeats)

    return play
