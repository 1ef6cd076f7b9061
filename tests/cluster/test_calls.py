"""A call on the cluster, from the phone's chunk to the score on the board."""

from __future__ import annotations

import json

import pytest

from linewatch.settings import token_digest
from tests.cluster.kube import eventually
from tests.cluster.lines import Playing, ThroughGateway, assert_whole, calls_of, line_of
from tests.cluster.scores import on_board, scored


@pytest.mark.core
def test_call_is_scored(cluster, topics, gate, one_machine, run):
    """Two calls through the gateway give the one-machine run's bytes, and every score a row."""
    calls = calls_of(run, 2, 25)
    ids = {call.call for call in calls}
    with Playing(calls, [line_of(call, gate) for call in calls]) as playing:
        playing.end()
    expected = one_machine(calls)
    assert len(expected["utterances"]) > len(calls)

    def all_scored():
        return scored(topics, ids).keys() >= expected["utterances"].keys()

    eventually(all_scored, 90)
    assert_whole(topics, calls, expected)
    for call in ids:
        mine = [name for name in expected["utterances"] if name[0].split(b"/")[4] == call.encode()]
        eventually(lambda call=call, mine=mine: on_board(cluster, call) == len(mine), 60)


def test_tokens_change_without_restart(cluster, run):
    """A token added to the Secret opens the decoders that run, and none of them ends for it."""
    gate = ThroughGateway(cluster.gateway, cluster.host("decoder"), f"{run}-token")
    known = cluster.secret("linewatch", "TOKENS")
    pods = {pod.name for pod in cluster.pods_of("decoder")}

    def status():
        return gate.send("GET", f"/v1/calls/{run}/channels/agent", {}, b"").status

    def let_in(tokens):
        patch = {"stringData": {"TOKENS": tokens}}
        cluster.kubectl("patch", "secret", "linewatch", "--type=merge", "-p", json.dumps(patch))

    assert status() == 401
    try:
        let_in(f"{known},default={token_digest(f'{run}-token')}")
        # The kubelet looks about once a minute.
        eventually(lambda: status() == 404, 150)
    finally:
        let_in(known)
    assert {pod.name for pod in cluster.pods_of("decoder")} == pods
