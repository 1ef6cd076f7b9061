"""Knative's part: pods from zero and back, the activator in the path of a call and out of it."""

from __future__ import annotations

import pytest

from tests.cluster import deployment
from tests.cluster.kube import eventually
from tests.cluster.lines import Playing, assert_complete, calls_of, line_of
from tests.cluster.scores import on_board, scored
from tests.cluster.spread import are_live

BURST = "autoscaling.knative.dev/target-burst-capacity"


@pytest.mark.core
@pytest.mark.timeout(600)
def test_sentiment_from_zero(cluster):
    """A burst of 200 utterances wakes the function from zero, all are scored, it sleeps again."""
    shown = cluster.demo("10-sentiment-from-zero", EVENTS="200")
    assert "all 200 scored" in shown
    assert cluster.pods_of("sentiment") == []


def path_of(cluster):
    """Return ``Proxy`` where the activator is in the decoder's path, else ``Serve``."""
    service = cluster.get("ksvc", "decoder")
    revision = service["status"]["latestReadyRevisionName"]
    found = cluster.get("serverlessservice.networking.internal.knative.dev", revision)
    is_latest = revision == service["status"]["latestCreatedRevisionName"]
    return found["spec"]["mode"] if is_latest else ""


@pytest.mark.full
@pytest.mark.timeout(900)
def test_activator_comes_and_goes(cluster, disturbed):
    """Calls go on while the activator enters their path and leaves it, losing no byte."""

    def take_turns():
        for capacity, path in (("-1", "Proxy"), ("0", "Serve")):
            note = f"{BURST}={capacity}"
            cluster.kn("service", "update", "decoder", "--annotation-revision", note)
            eventually(lambda path=path: path_of(cluster) == path, 90)

    assert path_of(cluster) == "Serve"
    disturbed(2, 170, take_turns)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_traffic_splits_and_returns(cluster, topics, gate, run):
    """Half of the traffic goes to another model and comes back: no call loses a chunk or a word."""
    # So many that the revision that comes is given some.
    calls = calls_of(run, 6, 200)
    with Playing(calls, [line_of(call, gate) for call in calls]) as playing:
        eventually(lambda: are_live(cluster, calls), 45)
        cluster.demo("30-traffic-split")
        playing.end()
    assert_complete(topics, calls)
    said = topics.records("utterances")
    digests = {dict(record.headers)["ce_modeldigest"] for record in said}
    assert len(digests) == 2


@pytest.mark.full
@pytest.mark.timeout(900)
def test_broker_scores_too(cluster, image, topics, gate, run):
    """With a Broker and Triggers on the road, a call is scored by replies and shown."""
    cluster.kubectl("delete", "sinkbinding/sentiment", "containersource/board-scores")
    try:
        deployment.deploy(cluster, "box-broker", image)
        (call,) = calls_of(run, 1, 20)
        with Playing([call], [line_of(call, gate)]) as playing:
            playing.end()
        said = eventually(lambda: topics.published("utterances", {call.call}), 60)
        eventually(lambda: scored(topics, {call.call}).keys() == said.keys(), 120)
        eventually(lambda: on_board(cluster, call.call) == len(said), 60)
    finally:
        cluster.kubectl("delete", "trigger,broker", "--all")
        deployment.deploy(cluster, "box", image)
