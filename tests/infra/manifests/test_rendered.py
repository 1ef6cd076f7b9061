"""Holds the rules of an installation to seeing each breach in what is rendered."""

from __future__ import annotations

import pytest

from eventing.topology import PUBLISHES
from infra.manifests import rendered as rules
from tests.infra.manifests.changed import one, with_changed
from tests.infra.manifests.rendering import BUILD_S, rendered

pytestmark = pytest.mark.timeout(BUILD_S)

_IMAGE = "spec/template/spec/containers/0/image"
_READY = "spec/template/spec/containers/0/readinessProbe/httpGet"
_PATH = "data/DASHBOARD_PATH"
_ENV = "spec/template/spec/containers/0/env"
_LETTERS = "spec/delivery/deadLetterSink/uri"
_REPLY = {"name": "REPLY", "value": "true"}
_SENTIMENT = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "sentiment"}


def _faults(overlay, which, path, value):
    found = rendered(overlay)
    return [*rules.faults(with_changed(one(*which, found), path, value, found), {"sink": ()})]


@pytest.mark.parametrize(
    ("overlay", "which", "path", "value", "said"),
    [
        (
            "dev",
            ("KafkaSink", "scores"),
            "spec/bootstrapServers",
            ["kafka:9092"],
            "KafkaSink scores: bootstrapServers are ['kafka:9092'], but KAFKA_BROKERS begins with",
        ),
        ("prod", ("KafkaSource", "sentiment"), "spec/bootstrapServers", [], "are [], but"),
        ("dev", ("KafkaSource", "sentiment"), "spec/topics/0", "utterance", "topic utterance is"),
        ("dev", ("KafkaSink", "alerts"), "spec/topic", "alert", "topic alert is in no ConfigMap"),
        ("dev", ("KafkaSource", "sentiment"), _LETTERS, "/dead", "topic dead is in no ConfigMap"),
        ("broker", ("Trigger", "sentiment"), _LETTERS, "/dead", "topic dead is in no ConfigMap"),
        (
            "dev",
            ("ConfigMap", "linewatch-topics"),
            "data",
            {"calls": "12"},
            "scores is in no",
        ),
        (
            "dev",
            ("Deployment", "dashboard"),
            f"{_READY}/path",
            "/b",
            "dashboard: a probe asks /b, but",
        ),
        ("dev", ("ConfigMap", "linewatch"), _PATH, "/board", "DASHBOARD_PATH is /board: list"),
        ("dev", ("ConfigMap", "linewatch"), _PATH, "board", "DASHBOARD_PATH=board: begin it with"),
        ("dev", ("ConfigMap", "linewatch"), _PATH, "/b/", "DASHBOARD_PATH=/b/: begin it with"),
        ("dev", ("ksvc", "board"), "metadata/namespace", "default", "Service board: lies in def"),
        ("dev", ("Namespace", "linewatch"), "metadata/name", "other", "linewatch"),
        ("dev", ("Deployment", "gateway"), _IMAGE, "", "'' is not an image"),
        ("dev", ("Deployment", "gateway"), _IMAGE, "a/b:1:2", "'a/b:1:2' is not an image"),
        ("dev", ("Deployment", "gateway"), _IMAGE, "host:5000/a", "host:5000/a names no version"),
        ("dev", ("Deployment", "gateway"), _IMAGE, "a/b:latest", "a/b:latest names no version"),
        ("dev", ("StatefulSet", "redis"), _IMAGE, "redis", "image redis names no version"),
        ("prod", ("ksvc", "board"), _IMAGE, "other:1", "different images: linewatch:0.1.0, other"),
        ("broker", ("ksvc", "sentiment"), f"{_ENV}/1", {}, "sentiment: has no SinkBinding"),
        ("dev", ("SinkBinding", "board"), "spec/subject/name", "x", "board: has no SinkBinding"),
        ("dev", ("ksvc", "sentiment"), f"{_ENV}/1", _REPLY, "has both REPLY and a SinkBinding"),
        (
            "broker",
            ("KafkaSource", "sentiment"),
            "spec/sink/ref",
            _SENTIMENT,
            "Service sentiment: KafkaSource sentiment drops its replies",
        ),
        (
            "box-broker",
            ("ContainerSource", "sentiment"),
            "spec/sink/ref",
            _SENTIMENT,
            "Service sentiment: ContainerSource sentiment drops its replies",
        ),
    ],
)
def test_broken_rendering_is_seen(overlay, which, path, value, said):
    """Whatever kustomize could get wrong unseen is named, with the object that has it."""
    assert any(said in each for each in _faults(overlay, which, path, value))


def test_silent_function_needs_no_binding():
    """A function whose source says that it publishes nothing is bound to nothing."""
    found = rendered("dev")
    source = one("KafkaSource", "sentiment", found)
    silent = with_changed(source, "metadata/annotations", {PUBLISHES: "nothing"}, found)
    assert [each for each in rules.faults(silent, {}) if "Service sentiment: has a" in each]
    unbound = [each for each in silent if (each.kind, each.name) != ("SinkBinding", "sentiment")]
    assert not [each for each in rules.faults(unbound, {}) if "SinkBinding" in each]


@pytest.mark.parametrize("image", ["a/b:1", "host:5000/a/b:v1.2-x", f"a/b@sha256:{'0' * 64}"])
def test_good_image_is_taken(image):
    """A tag or a digest is a version, and a host may have a port."""
    assert not [
        each for each in _faults("dev", ("StatefulSet", "redis"), _IMAGE, image) if "image" in each
    ]


def test_every_broker_may_be_told():
    """A list of all brokers is as right as the first of them."""
    found = rendered("dev")
    brokers = ["a:9092", "b:9092"]
    for each in [each for each in found if each.kind in ("KafkaSource", "KafkaSink")]:
        found = with_changed(each, "spec/bootstrapServers", brokers, found)
    found = with_changed(one("ConfigMap", "linewatch"), "data/KAFKA_BROKERS", "a:9092", found)
    assert any("bootstrapServers" in each for each in rules.faults(found, {}))
    settings = one("ConfigMap", "linewatch", found)
    found = with_changed(settings, "data/KAFKA_BROKERS", ",".join(brokers), found)
    assert not [each for each in rules.faults(found, {}) if "bootstrapServers" in each]
