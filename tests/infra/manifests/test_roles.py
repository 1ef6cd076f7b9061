"""Each role's identity and edges, written from what the manifests say."""

from __future__ import annotations

import shutil

import pytest
import yaml

from infra.manifests import network, roles
from infra.manifests.folders import BASE, EVENTING, Folders
from infra.manifests.manifest import Manifest, parse
from tests.support.source import ROOT

FUNCTION = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: tally}
spec:
  template:
    metadata: {labels: {app.kubernetes.io/name: tally}}
    spec:
      containers:
        - args: [tally]
          env: [{name: REDIS_URL, valueFrom: {configMapKeyRef: {name: linewatch}}}]
"""


@pytest.fixture(name="base", scope="module")
def _base():
    """The objects of the base and of the events' way."""
    return Folders().manifests(BASE, EVENTING)


def test_file_is_fresh():
    """The committed file is what the other manifests ask for."""
    assert list(roles.faults(Folders())) == []


def test_stale_file_is_told(tmp_path):
    """A file that was edited, or not written again, is told with what to run."""
    for folder in ("infra/base", "eventing"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with (tmp_path / roles.FILE).open("a") as file:
        file.write("# mine\n")
    (fault,) = roles.faults(Folders(tmp_path))
    assert "run `make roles`" in fault


def test_policies_allow_what_is_needed(base):
    """What is written allows every edge that the manifests need, and no other."""
    needed = set(network.needed(base))
    names = {each.role for each in base if each.pod is not None}
    policies = [each for each in parse(roles.text(base), "") if each.kind == "NetworkPolicy"]
    egress = set(network._allowed(policies, "egress"))
    ingress = set(network._allowed(policies, "ingress"))
    assert egress == {edge for edge in needed if edge.source in names}
    assert ingress == {edge for edge in needed if edge.target in names}


def test_new_function_gets_its_own(base):
    """A Service that asks Redis is all that its identity and its edges need."""
    with_tally = [*base, Manifest("", yaml.safe_load(FUNCTION))]
    added = [each for each in parse(roles.text(with_tally), "") if each.name == "tally"]
    account, policy = added
    assert (account.kind, account.body["automountServiceAccountToken"]) == ("ServiceAccount", False)
    assert policy.spec["egress"] == [
        {
            "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "redis"}}}],
            "ports": [{"port": 6379}],
        }
    ]
    assert [port["port"] for port in policy.spec["ingress"][0]["ports"]] == [8012, 8013, 8022, 9090]
