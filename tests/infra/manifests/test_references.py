"""Holds the check of references to seeing each name that nothing has."""

from __future__ import annotations

import pytest

from eventing import topology
from infra.manifests.references import References
from tests.infra.manifests.changed import GONE, one, with_changed
from tests.infra.manifests.rendering import BUILD_S, rendered

pytestmark = pytest.mark.timeout(BUILD_S)

_SERVED = {"sink": topology.load().sinks, "deadletters": topology.load().dead_letters}
_POD = "spec/template/spec"
_VOLUME = f"{_POD}/volumes/0"
_ENV = f"{_POD}/containers/0/env"
_DEAD = "spec/delivery/deadLetterSink"


def _faults(overlay, which, path, value):
    found = rendered(overlay)
    broken = with_changed(one(*which, found), path, value, found)
    before = {*References(found, _SERVED).faults()}
    return [each for each in References(broken, _SERVED).faults() if each not in before]


@pytest.mark.parametrize(
    ("overlay", "which", "path", "value", "said"),
    [
        ("dev", ("SinkBinding", "board"), "spec/sink/ref/name", "alert", "sink: there is no Kafka"),
        ("dev", ("SinkBinding", "board"), "spec/sink", {}, "sink: names neither"),
        ("dev", ("SinkBinding", "board"), "spec/subject/name", "bored", "there is no Service bor"),
        ("dev", ("KafkaSource", "sentiment"), "spec/sink/ref/apiVersion", "v1", "no Service senti"),
        ("dev", ("KafkaSource", "sentiment"), "spec/sink/ref/namespace", "x", "in namespace x"),
        ("dev", ("KafkaSource", "sentiment"), "spec/sink/uri", "/x", "takes no event at '/x'"),
        (
            "dev",
            ("KafkaSource", "sentiment"),
            f"{_DEAD}/ref/name",
            "none",
            "deadLetterSink: there is no",
        ),
        ("dev", ("KafkaSource", "sentiment"), f"{_DEAD}/uri", "/dead", "takes no event at '/dead'"),
        ("broker", ("Trigger", "scores"), f"{_DEAD}/uri", GONE, "takes no event at '/'"),
        ("broker", ("KafkaSource", "sentiment"), "spec/sink/ref/name", "x", "there is no Broker x"),
        ("broker", ("Trigger", "board-calls"), "spec/broker", "x", "there is no Broker x"),
        (
            "broker",
            ("Trigger", "board-calls"),
            f"{_DEAD}/ref/name",
            "none",
            "deadLetterSink: there is no",
        ),
        (
            "broker",
            ("Trigger", "scores"),
            "spec/subscriber/ref/name",
            "score",
            "Trigger scores: subscriber: there is no KafkaSink score of eventing.knative.dev",
        ),
        ("broker", ("Broker", "linewatch"), "spec/config/namespace", GONE, "kafka-broker-config"),
        ("box", ("SinkBinding", "board"), "spec/sink/uri", "/alert", "takes no event at '/alert'"),
        ("box", ("SinkBinding", "board"), "spec/sink/uri", GONE, "takes no event at '/'"),
        (
            "box",
            ("Service", "sink"),
            "metadata/name",
            "snk",
            "sink: there is no Service sink of v1",
        ),
        ("box", ("ContainerSource", "board-calls"), "spec/sink/ref/kind", "Job", "no Job board"),
        ("dev", ("ServiceAccount", "board"), "metadata/name", "bored", "no ServiceAccount board"),
        ("dev", ("Secret", "linewatch"), "data/COOKIE_KEYS", GONE, "has no key COOKIE_KEYS"),
        ("dev", ("ksvc", "decoder"), f"{_POD}/volumes/1/secret/items/0/key", "T", "no key T"),
        ("dev", ("ksvc", "decoder"), f"{_POD}/volumes/1/secret/secretName", "s", "no Secret s"),
        ("prod", ("ksvc", "board"), f"{_ENV}/0/valueFrom/secretKeyRef/key", "URL", "no key URL"),
        (
            "prod",
            ("KafkaSource", "sentiment"),
            "spec/net/tls/caCert/secretKeyRef/key",
            "c",
            "key c",
        ),
        ("prod", ("KafkaSink", "scores"), "spec/auth/secret/ref/name", "k", "there is no Secret k"),
        (
            "prod",
            ("KafkaSink", "scores"),
            "spec/auth/secret/ref/name",
            "linewatch",
            "Secret linewatch has no key protocol",
        ),
        ("dev", ("ConfigMap", "linewatch"), "data/REDIS_URL", GONE, "has no key REDIS_URL"),
        ("dev", ("ConfigMap", "linewatch"), "metadata/name", "l", "no ConfigMap linewatch"),
        ("dev", ("ksvc", "board"), f"{_VOLUME}/configMap", {"name": "c"}, "no ConfigMap c"),
        (
            "dev",
            ("ksvc", "board"),
            f"{_VOLUME}/configMap",
            {"name": "linewatch", "items": [{"key": "K"}]},
            "ConfigMap linewatch has no key K",
        ),
        (
            "dev",
            ("Deployment", "gateway"),
            f"{_ENV}/0/value",
            "http://decoder.default.svc.cluster.local",
            "there is no Service decoder in namespace default",
        ),
        (
            "dev",
            ("Deployment", "gateway"),
            f"{_ENV}/0/value",
            "http://decoder.linewatch.svc,http://decodr.linewatch.svc",
            "http://decodr.linewatch.svc: there is no Service decodr in namespace linewatch",
        ),
        ("dev", ("ConfigMap", "linewatch"), "data/REDIS_URL", "redis://rds/0", "no Service rds in"),
        (
            "dev",
            ("ConfigMap", "linewatch"),
            "data/REDIS_URL",
            "redis://redis:6380/0",
            "Service redis has no port 6380",
        ),
        (
            "dev",
            ("CronJob", "missing"),
            "spec/jobTemplate/spec/template/spec/containers/0/args/3",
            "http://letters/missing",
            "http://letters/missing: there is no Service letters in namespace linewatch",
        ),
        ("dev", ("ksvc", "board"), f"{_ENV}/1", {"value": "http://decoder:8080"}, "no port 8080"),
    ],
)
def test_lost_reference_is_seen(overlay, which, path, value, said):
    """A name, a key, a path or a host that nothing has is named, with who wants it."""
    found = _faults(overlay, which, path, value)
    assert any(said in each for each in found), found


def test_foreign_service_is_taken():
    """The paths of a plain Service that is no role of ours are its owner's to know."""
    selector = {"app": "theirs"}
    found = rendered("box")
    found = with_changed(one("Service", "sink", found), "spec/selector", selector, found)
    assert [*References(found, _SERVED).faults()] == []


@pytest.mark.parametrize(
    "url",
    ["http://otel.monitoring.svc:4318", "https://example.com/x", "http://decoder.linewatch.svc/v1"],
)
def test_other_urls_are_taken(url):
    """A host outside the cluster or of another namespace is its owner's, and ours resolves."""
    told = {"name": "X", "value": url}
    assert _faults("dev", ("ksvc", "board"), f"{_ENV}/1", told) == []


def test_owners_secrets_are_taken():
    """Production's Secrets are its owner's to make: their names and keys are known all the same."""
    found = rendered("prod")
    assert not [each for each in found if each.kind == "Secret"]
    assert [*References(found, _SERVED).faults()] == []


def test_many_wants_are_one_fault():
    """An object that wants the same missing key in two containers is named once."""
    found = _faults("box", ("ConfigMap", "linewatch"), "data/KAFKA_BROKERS", GONE)
    sinks = [each for each in found if "Deployment sink" in each]
    assert len(sinks) == 1
