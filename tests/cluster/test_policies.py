"""The NetworkPolicies as a cluster enforces them: what the topology needs passes, nothing else."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster import deployment, matrix
from tests.cluster.matrix import OUTSIDERS, PORTS

#: Listens where the box runs, outside the cluster: its API server, ingress, Kafka, and DNS.
_API, _INGRESS, _KAFKA, _NAMES = 6443, (8080, 8081), 9092, 53


@pytest.fixture(name="rendered", scope="module")
def _rendered(cluster):
    return yaml.safe_dump_all(deployment.render(cluster, "box"))


@pytest.fixture(name="reached", scope="module")
def _reached(cluster, image, rendered):
    """Everything that any stand-in reaches: (source, target, port)."""
    host = cluster.bootstrap.partition(":")[0]
    elsewhere = {
        "api": [(host, _API)],
        "ingress": [(host, port) for port in _INGRESS],
        "kafka": [(host, _KAFKA)],
        "names": [(host, _NAMES)],
    }
    with matrix.stand_ins(cluster, image, matrix.roles_of(rendered)) as stood:
        return stood.all_reached(elsewhere)


def test_edges_answer_and_others_do_not(reached, rendered):
    """Between any two pods just the edges of the topology pass, in and out of the namespace."""
    roles = set(matrix.roles_of(rendered))
    wanted = {
        (source, target, port)
        for source, target, port in matrix.needed(rendered)
        if target in roles | OUTSIDERS.keys() and port in PORTS and source != target
    }
    found = {
        edge
        for edge in reached
        if (edge[0] in roles or edge[1] in roles) and edge[1] in roles | OUTSIDERS.keys()
    }
    assert found == wanted


def test_foreign_pod_reaches_nothing(reached, rendered):
    """A pod of another namespace gets no answer from any of ours, and none of ours reaches it."""
    roles = set(matrix.roles_of(rendered))
    assert {"board", "sentiment", "sink", "redis", "decoder"} <= roles
    assert not [edge for edge in reached if edge[0] == "foreign" and edge[1] in roles]
    assert not [edge for edge in reached if edge[1] == "foreign" and edge[0] in roles]


@pytest.mark.parametrize(("target", "part"), [("kafka", "kafka"), ("ingress", "serving")])
def test_egress_is_the_topologys(reached, rendered, target, part):
    """Kafka and the ingress are reached by those roles that the topology sends there."""
    roles = set(matrix.roles_of(rendered))
    wanted = {source for source, to, _ in matrix.needed(rendered) if to == part}
    assert {edge[0] for edge in reached if edge[1] == target and edge[0] in roles} == wanted


def test_everybody_asks_for_names(reached, rendered):
    """Each role reaches the DNS server that the node runs, and none the API server."""
    roles = set(matrix.roles_of(rendered))
    assert {edge[0] for edge in reached if edge[1] == "names" and edge[0] in roles} == roles
    assert not [edge for edge in reached if edge[1] == "api" and edge[0] in roles]
