"""Holds what a manifest is asked by the checks."""

from __future__ import annotations

import pytest

from infra.manifests.manifest import Manifest, parse
from linewatch.errors import SettingsError
from tests.infra.manifests.changed import BOX, one, site

_BARE = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}"


def test_documents_are_parsed():
    """Each document of a file is one object, and empty documents are none."""
    found = parse(f"# x\n---\n{_BARE}\n---\n{_BARE.replace('{name: a}', '{name: b}')}", "two.yaml")
    assert [str(each) for each in found] == ["two.yaml: ConfigMap a", "two.yaml: ConfigMap b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "bad.yaml is not valid YAML"),
        ("- a", "one object"),
        ("a: b", "one object with a kind"),
    ],
)
def test_bad_file_is_named(text, said):
    """What is no object of Kubernetes is refused by its file's name."""
    with pytest.raises(SettingsError, match=said):
        parse(text, "bad.yaml")


@pytest.mark.parametrize(
    ("api", "group", "version"),
    [
        ("v1", "", "v1"),
        ("apps/v1", "apps", "v1"),
        ("serving.knative.dev/v1", "serving.knative.dev", "v1"),
    ],
)
def test_api_is_split(api, group, version):
    """An apiVersion is a group, empty for Kubernetes' own, and a version."""
    manifest = Manifest("x.yaml", {"apiVersion": api, "kind": "Service"})
    assert (manifest.group, manifest.version) == (group, version)


@pytest.mark.parametrize(
    ("kind", "name", "role"),
    [
        ("ksvc", "decoder", "decoder"),
        ("Deployment", "gateway", "gateway"),
        ("StatefulSet", "redis", "redis"),
        ("Job", "topics", "topics"),
        ("CronJob", "missing", "missing"),
    ],
)
def test_pods_are_found(kind, name, role):
    """Whatever makes pods tells their spec and their role."""
    manifest = one(kind, name)
    assert manifest.role == role
    assert manifest.pod["serviceAccountName"] == role


def test_plain_service_has_no_pod():
    """Kubernetes' own Service makes no pods, though it has Knative's kind."""
    assert one("Service", "redis").pod is None
    assert list(one("Service", "redis").containers) == []


def test_first_containers_are_seen():
    """Containers that run before the others are held to the same rules."""
    sink = one("Deployment", "sink", site(BOX))
    assert [each["name"] for each in sink.containers] == ["topics", "sink"]


def test_odd_objects_are_empty():
    """A spec that is no object reads as an empty one, for the schema to complain of."""
    assert Manifest("x", {"kind": "Job", "spec": "none"}).pod == {}
