"""Holds the NetworkPolicies to the edges that the manifests need, neither more nor fewer."""

from __future__ import annotations

import pytest

from infra.manifests import network
from infra.manifests.network import Edge
from tests.infra.manifests.changed import BOX, BROKER, GONE, changed, one, site, with_changed


def _faults_with(manifest, path, value):
    return [*network.faults(with_changed(manifest, path, value))]


def test_policies_equal_the_topology():
    """What the base and the event road need is allowed at both ends, and nothing else is."""
    assert [*network.faults(site())] == []


def test_needed_edges_are_the_roads():
    """The edges are those of the design: one road, its stores, and who looks on."""
    pairs = {(edge.source, edge.target) for edge in network.needed(site())}
    assert {pair for pair in pairs if pair[0] != "monitoring"} == {
        ("gateway", "serving"),
        ("serving", "decoder"),
        ("serving", "sentiment"),
        ("serving", "board"),
        ("decoder", "decoder"),
        ("decoder", "redis"),
        ("decoder", "kafka"),
        ("board", "redis"),
        ("dashboard", "redis"),
        ("sentiment", "eventing"),
        ("board", "eventing"),
        ("topics", "kafka"),
        ("eventing", "deadletters"),
        ("deadletters", "kafka"),
        ("missing", "deadletters"),
        ("missing", "kafka"),
        ("viewers", "dashboard"),
    }
    watched = {target for source, target in pairs if source == "monitoring"}
    assert watched == {"decoder", "sentiment", "board", "gateway", "dashboard", "deadletters"}


def test_forwards_pass_the_queue_proxy_by():
    """A decoder reaches another at the app's own port."""
    forwards = [e.port for e in network.needed(site()) if (e.source, e.target) == ("decoder",) * 2]
    assert forwards == [8080]


def test_knatives_own_doors_are_open():
    """The activator, the ingress and the autoscaler reach the queue-proxy of every function."""
    doors = {e.port for e in network.needed(site()) if (e.source, e.target) == ("serving", "board")}
    assert doors == {8012, 8013, 8022, 9090}


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("redis", "spec/ingress/2", "no ingress rule for decoder -> redis:6379"),
        ("decoder", "spec/egress/1", "no egress rule for decoder -> redis:6379"),
        ("decoder", "spec/egress/2/ports/1", "no egress rule for decoder -> kafka:9093"),
        ("sentiment", "spec/egress", "no egress rule for sentiment -> eventing:8080"),
        ("board", "spec/ingress/0/ports/3", "no ingress rule for serving -> board:9090"),
        ("dashboard", "spec/ingress/1", "no ingress rule for viewers -> dashboard:8080"),
        ("missing", "spec/egress/0", "no egress rule for missing -> deadletters:8080"),
        ("deadletters", "spec/ingress/1", "no ingress rule for missing -> deadletters:8080"),
        ("deadletters", "spec/ingress/0", "no ingress rule for eventing -> deadletters:8080"),
    ],
)
def test_missing_edge_is_seen(name, path, said):
    """An edge that is needed and closed at one end is named."""
    assert any(said in each for each in _faults_with(_policy(name), path, GONE))


@pytest.mark.parametrize(
    ("peer", "ports", "said"),
    [
        (
            {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "sentiment"}}},
            [{"port": 6379}],
            "an egress rule for board -> sentiment:6379",
        ),
        ({"podSelector": {}}, [{"port": 1}], "an egress rule for board -> every pod:1"),
        (None, [{"port": 443}], "an egress rule for board -> anybody:443"),
        (
            {"namespaceSelector": {"matchExpressions": [{"values": ["elsewhere"]}]}},
            [{"port": 80}],
            "an egress rule for board -> namespace elsewhere:80",
        ),
    ],
)
def test_needless_edge_is_seen(peer, ports, said):
    """An edge that nothing needs is a hole, and is named."""
    rule = {"ports": ports} | ({"to": [peer]} if peer else {})
    assert _faults_with(_policy("board"), "spec/egress/2", rule) == [
        f"NetworkPolicy: {said}, which nothing needs"
    ]


def test_open_door_is_seen():
    """A rule without a port allows nothing that is needed; the edges it was for are named."""
    found = _faults_with(_policy("redis"), "spec/ingress/2/ports", GONE)
    assert any("no ingress rule for decoder -> redis" in each for each in found)


def test_default_must_be_deny():
    """Without the policy that denies everybody everything the others mean little."""
    (fault,) = _faults_with(_policy("nobody"), "spec/policyTypes", ["Ingress"])
    assert "none denies everybody" in fault


def test_names_are_all_that_is_common():
    """Everybody may ask for a name, and nothing else is open to everybody."""
    (fault,) = _faults_with(_policy("names"), "spec/egress/0/ports/0/port", 80)
    assert "no more, not [53, 80]" in fault


def test_new_store_needs_an_edge():
    """A function that is told where Redis is needs the road to it."""
    told = {"name": "REDIS_URL", "valueFrom": {"configMapKeyRef": {"name": "linewatch"}}}
    path = "spec/template/spec/containers/0/env/0"
    assert _faults_with(one("ksvc", "sentiment"), path, told) == [
        "NetworkPolicy: no egress rule for sentiment -> redis:6379, which the manifests need",
        "NetworkPolicy: no ingress rule for sentiment -> redis:6379, which the manifests need",
    ]


def test_secret_store_is_elsewhere():
    """A Redis whose URL is a secret is not ours, and speaks TLS at a port of its own."""
    secret = {"secretKeyRef": {"name": "linewatch-redis", "key": "REDIS_URL"}}
    path = "spec/template/spec/containers/0/env/0/valueFrom"
    needs = network.needed([changed(one("ksvc", "decoder"), path, secret)])
    assert {Edge("decoder", "redis-elsewhere", port) for port in (6379, 6380)} <= {*needs}


def test_address_range_is_named():
    """A rule for an address range is for whom its policy's annotation names, else for anybody."""
    policy = one("NetworkPolicy", "ingress-on-node", site(BOX))
    allowed = {(edge.source, edge.target) for edge in network._allowed([policy], "egress")}
    assert allowed == {("gateway", "serving"), ("source", "serving")}
    bare = changed(policy, "metadata/annotations", GONE)
    assert {edge.target for edge in network._allowed([bare], "egress")} == {"anybody"}


def test_sources_of_ours_need_serving():
    """A dispatcher that runs as a ContainerSource reaches its function, the log and Redis."""
    targets = {e.target for e in network.needed(site(BOX)) if e.source == "source"}
    assert {"serving", "kafka", "redis"} == targets


def test_broker_reaches_plain_services():
    """A Trigger that names a plain Service has the broker's pods call its pods."""
    trigger = one("Trigger", "scores", site(BROKER))
    dead = "eventing -> deadletters:8080"
    assert [str(edge) for edge in network.needed([trigger])] == [dead]
    ref = {"apiVersion": "v1", "kind": "Service", "name": "sink"}
    moved = changed(trigger, "spec/subscriber", {"ref": ref, "uri": "/scores"})
    assert [str(edge) for edge in network.needed([moved])] == ["eventing -> sink:8080", dead]


def test_binding_to_plain_service():
    """A function bound to a plain Service reaches its pods, and a source a Broker's."""
    ref = {"apiVersion": "v1", "kind": "Service", "name": "sink"}
    moved = changed(one("SinkBinding", "board"), "spec/sink", {"ref": ref})
    assert [str(edge) for edge in network.needed([moved])] == ["board -> sink:8080"]


def _policy(name):
    return one("NetworkPolicy", name)
