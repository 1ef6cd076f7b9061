"""Calls that move in their middle, by a demo or a deletion: not a byte is lost or doubled."""

from __future__ import annotations

import pytest

from tests.cluster.direct import Watch, begun_elsewhere, direct
from tests.cluster.kube import eventually
from tests.cluster.lines import calls_of, push
from tests.cluster.spread import look

MOST_DECODERS = 3
FORWARDS = "linewatch_decoder_forwards_total"
CHUNKS = 20
#: What a relay that dies between Kafka's acknowledgement and its own deletion sends again. It
#: takes live events almost one by one.
MOST_IN_HAND = 8


@pytest.fixture(name="three")
def _three(cluster):
    """Three decoders, as the first demo leaves them."""
    if len(cluster.pods_of("decoder")) < MOST_DECODERS:
        cluster.kn("service", "update", "decoder", "--scale-min", str(MOST_DECODERS))
    ready = eventually(lambda: _ready(cluster), 180)
    assert len(ready) >= MOST_DECODERS
    return ready


def _ready(cluster):
    ready = [pod for pod in cluster.pods_of("decoder") if pod.ready]
    return ready if len(ready) >= MOST_DECODERS else None


@pytest.mark.core
@pytest.mark.timeout(900)
def test_decoders_scale_out(cluster, disturbed):
    """A new revision with three decoders takes over every live call, evenly, losing no byte."""

    def scale_out():
        # A busy test node starts decoders so far apart that a call may move to each.
        kept = {"KEEP": "1", "SCALE": str(MOST_DECODERS), "MOST_MOVES": "2"}
        cluster.demo("20-scale-out", **kept)
        cluster.demo("50-load-spread")

    disturbed(4, 170, scale_out)


@pytest.mark.core
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("three")
def test_deleted_pod_hands_over(cluster, disturbed):
    """A pod deleted amid calls drains, ends by SIGTERM with 0, and its calls lose no byte."""
    watches = []

    def delete():
        watches.extend((pod, Watch(cluster, pod)) for pod in cluster.pods_of("decoder"))
        shown = cluster.demo("40-pod-deleted")
        (watch,) = [each for pod, each in watches if f"delete pod {pod.name}" in shown]
        assert watch.exit_code(30) == 0

    try:
        disturbed(4, 120, delete)
    finally:
        for _, watch in watches:
            watch.stop()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("three")
def test_killed_pod_loses_nothing(cluster, disturbed):
    """A pod killed without any grace amid calls loses no byte, and repeats what it had in hand."""

    def kill():
        owned = look(cluster).sessions
        doomed = max(cluster.pods_of("decoder"), key=lambda pod: owned.get(pod.address, 0))
        cluster.kubectl("delete", "pod", doomed.name, "--force", "--grace-period=0")

    disturbed(4, 60, kill, repeats=MOST_IN_HAND)


def test_wrong_pod_forwards(cluster, three, run):
    """Chunks that come to another pod reach the owner, whom the cookie names, and no call moves."""
    token = cluster.secret("linewatch-line", "TOKEN")
    (call,) = calls_of(run, 1, 30)
    with direct(cluster, three[0], token) as owner, direct(cluster, three[1], token) as wrong:
        away = begun_elsewhere(cluster, call, owner, wrong)
        before = look(cluster)
        forwards = wrong.metric(FORWARDS)
        away.open()
        for number in range(1, CHUNKS):
            push(away, call, number)
        eventually(lambda: wrong.metric(FORWARDS) >= forwards + 2 * (CHUNKS - 1), 30)
        assert look(cluster).moves(call.call) == before.moves(call.call)
        assert away.close(60)
    owners = {pod for _, _, pod in owner.hints + wrong.hints}
    assert owners == {before.ids[three[0].address]}
