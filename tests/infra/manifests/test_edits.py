"""Holds what the README and docs/cluster.md tell a user to edit to reaching every object."""

from __future__ import annotations

import pytest

from infra.manifests import checks
from tests.infra.manifests.rendering import BUILD_S, objects

pytestmark = pytest.mark.timeout(BUILD_S)

_DIGEST = f"sha256:{'5' * 64}"
_BROKERS = {"dev": "my-cluster-kafka-bootstrap.kafka:9092", "prod": "kafka.example.com:9093"}


def _edit(root, overlay, old, new):
    """Edit the one line of an overlay that says *old*."""
    file = root / "infra" / "overlays" / overlay / "kustomization.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def _edited(root, overlay):
    """Return what is rendered, once it is known to keep every rule."""
    found = objects(root, overlay)
    assert [*checks.faults(found, root)] == []
    return found


@pytest.mark.parametrize(
    ("edited", "overlay"), [("dev", "dev"), ("dev", "broker"), ("prod", "prod")]
)
def test_brokers_reach_everything(copied, edited, overlay):
    """One line says where Kafka is: settings have it all, sources and sinks its first broker."""
    _edit(copied, edited, _BROKERS[edited], "a.example:9094,b.example:9094")
    found = _edited(copied, overlay)
    servers = [each.spec["bootstrapServers"] for each in found if "bootstrapServers" in each.spec]
    assert servers == [["a.example:9094"]] * len(servers)
    assert len(servers) >= 4
    (settings,) = [each for each in found if (each.kind, each.name) == ("ConfigMap", "linewatch")]
    assert settings.body["data"]["KAFKA_BROKERS"] == "a.example:9094,b.example:9094"


@pytest.mark.parametrize(
    ("edited", "overlay", "edit", "image"),
    [
        ("dev", "dev", ("dev.local/linewatch", "r.example:5000/me/lw"), "r.example:5000/me/lw:dev"),
        ("dev", "broker", ("newTag: dev", 'newTag: "7"'), "dev.local/linewatch:7"),
        (
            "prod",
            "prod",
            ("newTag: 0.1.0", f"newName: r.example/lw\n    digest: {_DIGEST}"),
            f"r.example/lw@{_DIGEST}",
        ),
    ],
)
def test_image_reaches_everything(copied, edited, overlay, edit, image):
    """The image that the overlay names is that of every role, by tag or by digest."""
    _edit(copied, edited, *edit)
    ours = [
        container["image"]
        for each in _edited(copied, overlay)
        if each.role != "redis"
        for container in each.containers
    ]
    assert ours == [image] * len(ours)
    assert len(ours) >= 6


@pytest.mark.parametrize(
    ("edited", "overlay"), [("dev", "dev"), ("dev", "broker"), ("prod", "prod")]
)
def test_older_kafka_is_one_switch(copied, edited, overlay):
    """One line makes every KafkaSource v1beta1, and each patch of a source still hits it."""
    before = {each.name: each.spec for each in objects(copied, overlay) if _is_source(each)}
    _edit(copied, edited, "# - ../../components/kafka-v1beta1", "- ../../components/kafka-v1beta1")
    sources = [each for each in _edited(copied, overlay) if _is_source(each)]
    assert {each.body["apiVersion"] for each in sources} == {"sources.knative.dev/v1beta1"}
    assert {each.name: each.spec for each in sources} == before


def _is_source(manifest):
    return manifest.kind == "KafkaSource"
