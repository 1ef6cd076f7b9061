"""Holds the manifests of the event road to our own rules, and to each other."""

from __future__ import annotations

import copy
import math
from itertools import accumulate

import pytest
import yaml

from eventing import topology
from eventing.topology import Delivery, duration_s
from linewatch.errors import SettingsError
from linewatch.events import PARTITIONS, TOPICS

_FILES = sorted(topology.FOLDER.glob("[0-9]*.yaml"))
_GONE = object()


def _manifests():
    return [each for file in _FILES for each in yaml.safe_load_all(file.read_text())]


def _changed(kind, path, value):
    """Return the manifests with one field of the first *kind* replaced or removed."""
    manifests = copy.deepcopy(_manifests())
    part = next(each for each in manifests if each["kind"] == kind)
    *parents, last = path.split(".")
    for name in parents:
        part = part[name]
    if value is _GONE:
        del part[last]
    else:
        part[last] = value
    return manifests


def test_manifests_are_taken():
    """The manifests describe the design's three sources, two sinks and their dead letters."""
    found = topology.load()
    assert {(s.name, s.topic, s.service) for s in found.sources} == {
        ("sentiment", "utterances", "sentiment"),
        ("board-scores", "scores", "board"),
        ("board-calls", "calls", "board"),
    }
    assert {s.delivery.dead_letter_topic for s in found.sources} == {
        "dead-sentiment",
        "dead-board-scores",
        "dead-board-calls",
    }
    assert found.sinks.keys() == {"scores", "alerts"}
    assert found.dead_letters == ("dead-sentiment", "dead-board-scores", "dead-board-calls")
    assert found.bindings == {"sentiment": "scores", "board": "alerts"}


def test_delivery_is_the_designs():
    """Every source retries 24 times, 5 minutes of back-off in all, with 30 s a try."""
    for source in topology.load().sources:
        delivery = source.delivery
        assert (delivery.retries, delivery.timeout_s) == (24, 30)
        assert sum(delivery.delay_s(n) for n in range(1, 25)) == 300


def test_wait_after_outage_is_short():
    """After an outage of t seconds the next try comes within sqrt(2t) seconds and one."""
    delivery = topology.load().sources[0].delivery
    tried_s = list(accumulate(delivery.delay_s(n) for n in range(1, 25)))
    for outage_s in range(1, 300):
        next_s = next(each for each in tried_s if each >= outage_s)
        assert next_s - outage_s <= math.sqrt(2 * outage_s) + 1


def test_every_topic_is_declared():
    """Every topic of the event contract has as many partitions as the outbox."""
    topics = topology.load().topics
    assert set(TOPICS.values()) <= topics.keys()
    assert set(topics.values()) == {PARTITIONS}


def test_groups_of_topic():
    """A topic's groups are those of the sources that read it."""
    found = topology.load()
    assert found.groups("scores") == ("linewatch-board-scores",)
    assert found.groups("alerts") == ()


def test_linear_backoff_grows_evenly():
    """Linear back-off waits the delay times the retry's number."""
    delivery = Delivery(
        3,
        exponential=False,
        backoff_s=0.5,
        timeout_s=1,
        dead_letter_topic="d",
    )
    assert [delivery.delay_s(n) for n in (1, 2, 3)] == [0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("spec.consumerGroup", _GONE, "set consumerGroup"),
        ("spec.initialOffset", _GONE, "initialOffset must be earliest"),
        ("spec.initialOffset", "latest", "initialOffset must be earliest"),
        ("spec.ordering", _GONE, "ordering must be unordered, it is ordered, the default"),
        ("spec.ordering", "ordered", "ordered delivers one event of a partition at a time"),
        ("spec.delivery.retry", _GONE, "retry must be 1 or more"),
        ("spec.delivery.retry", 0, "retry must be 1 or more"),
        ("spec.delivery.retry", -1, "retry must be 1 or more"),
        ("spec.delivery.retry", "often", "often"),
        ("spec.delivery.timeout", "PT0S", "must be more than 0"),
        ("spec.delivery.deadLetterSink", _GONE, "set delivery.deadLetterSink"),
        ("spec.delivery", _GONE, "set delivery.deadLetterSink"),
        ("spec.delivery.backoffPolicy", _GONE, "backoffPolicy"),
        ("spec.delivery.backoffDelay", "0.5", "an ISO 8601 duration"),
        (
            "spec.delivery.deadLetterSink.ref.kind",
            "KafkaSink",
            "functions publish through the same",
        ),
        ("spec.delivery.deadLetterSink.ref.kind", "Broker", "must be a ref to a Service"),
        ("spec.delivery.deadLetterSink.ref.apiVersion", "serving.knative.dev/v1", "Service of v1"),
        ("spec.delivery.deadLetterSink.uri", _GONE, "must be /TOPIC of 100-topics.yaml"),
        ("spec.delivery.deadLetterSink.uri", "/whispers", "it is '/whispers'"),
        ("spec.delivery.deadLetterSink.uri", "dead-sentiment", "it is 'dead-sentiment'"),
        ("spec.sink.ref.kind", "Broker", "must be a ref to a Service"),
        ("spec.sink", "http://x", "sink must be an object"),
        ("spec.topics", ["calls", "scores"], "name exactly one topic"),
        ("spec.topics", ["whispers"], "topic whispers is not in"),
        ("metadata.name", "board-calls", "the name is used twice"),
        ("spec.delivery.deadLetterSink.uri", "/dead-board-calls", "the same dead-letter topic"),
    ],
)
def test_bad_source_is_refused(path, value, reason):
    """A source that would lose or hold up events is refused with the reason."""
    with pytest.raises(SettingsError, match=reason):
        topology.read(_changed("KafkaSource", path, value))


@pytest.mark.parametrize(
    ("kind", "path", "value", "reason"),
    [
        ("KafkaSink", "spec.topic", "whispers", "topic whispers is not in"),
        ("KafkaSink", "spec.numPartitions", 12, "leave out numPartitions: .* owns its topic"),
        ("KafkaSink", "spec.replicationFactor", 1, "leave out replicationFactor"),
        ("KafkaSink", "spec.contentMode", "structured", "contentMode must be binary"),
        ("KafkaSink", "metadata.name", "alerts", "the name is used twice"),
        ("ConfigMap", "data.scores", "3", "must have 12 partitions"),
        ("ConfigMap", "data.scores", "many", "many"),
        ("ConfigMap", "kind", "Secret", "Secret linewatch-topics: this kind is not allowed"),
        ("SinkBinding", "spec.sink.ref.name", "nowhere", "unknown sink nowhere"),
        ("SinkBinding", "spec.sink.ref.kind", "Service", "sink must be a ref to a KafkaSink"),
        ("SinkBinding", "spec.subject.kind", "Deployment", "subject must be a ref to a Service"),
        ("SinkBinding", "spec.subject.apiVersion", "v1", "must be a Service of serving.knative"),
        ("SinkBinding", "spec.subject.name", "board", "board has a second SinkBinding"),
        ("SinkBinding", "spec.subject.name", "mood", "Service sentiment: no SinkBinding"),
        ("SinkBinding", "spec.subject.name", "mood", "SinkBinding of mood: no such function"),
        ("SinkBinding", "spec.sink.ref.name", "alerts", "KafkaSink scores: nobody writes to it"),
    ],
)
def test_bad_neighbour_is_refused(kind, path, value, reason):
    """A sink, topic or binding that does not fit the others is refused with the reason."""
    with pytest.raises(SettingsError, match=reason):
        topology.read(_changed(kind, path, value))


def _silent(value="nothing"):
    """The manifests, in which sentiment says what it publishes."""
    manifests = _manifests()
    source = next(m for m in manifests if m["metadata"]["name"] == "sentiment")
    source["metadata"]["annotations"] = {topology.PUBLISHES: value}
    return manifests


def test_silent_function_needs_no_sink():
    """A function whose KafkaSource says that it publishes nothing is bound to no sink."""
    of_sentiment = [
        {"kind": "SinkBinding", "name": "sentiment"},
        {"kind": "KafkaSink", "name": "scores"},
    ]
    left = [
        each
        for each in _silent()
        if {"kind": each["kind"], "name": each["metadata"]["name"]} not in of_sentiment
    ]
    found = topology.read(left)
    assert found.functions == ("sentiment", "board")
    assert "sentiment" not in found.bindings
    assert not found.source("sentiment").publishes


@pytest.mark.parametrize(
    ("value", "reason"),
    [("nothing", "but a SinkBinding names it"), ("little", "must be 'nothing' or left out")],
)
def test_wrong_silence_is_refused(value, reason):
    """Who says that it publishes nothing has no binding, and says it in the one word."""
    with pytest.raises(SettingsError, match=reason):
        topology.read(_silent(value))


def test_shared_group_is_refused():
    """Two sources may not share a consumer group on one topic: each would get half."""
    manifests = _manifests()
    twin = copy.deepcopy(next(m for m in manifests if m["kind"] == "KafkaSource"))
    twin["metadata"]["name"] = "twin"
    with pytest.raises(SettingsError, match="in the same consumerGroup"):
        topology.read([*manifests, twin])


def test_all_faults_named_at_once():
    """Every refused manifest is named, not the first only."""
    manifests = _changed("KafkaSource", "spec.ordering", "sideways")
    sink = next(each for each in manifests if each["kind"] == "KafkaSink")
    sink["spec"]["topic"] = "whispers"
    with pytest.raises(SettingsError) as caught:
        topology.read(manifests)
    assert "KafkaSource sentiment" in caught.value.detail
    assert "topic whispers" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind: ConfigMap", "first line must say"),
        ("# x\nkind: [", "is not valid YAML"),
        ("# x\n- a", "must be one object"),
        ("# x\nkind: KafkaSink", "must be one object with kind and metadata"),
        ("# x\nkind: KafkaSink\nmetadata: x", "must be one object with kind and metadata"),
        ("# x\nkind: [a]\nmetadata: {name: x}", "must be one object with kind and metadata"),
    ],
)
def test_unreadable_file_is_refused(tmp_path, text, reason):
    """A file that is no described YAML manifest is refused by its name."""
    (tmp_path / "500-bad.yaml").write_text(text)
    with pytest.raises(SettingsError, match=f"500-bad.yaml.*{reason}"):
        topology.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT0.5S", 0.5), ("PT30S", 30), ("PT2M", 120), ("PT1H1M1S", 3661)]
)
def test_duration_is_read(text, seconds):
    """Durations are ISO 8601 times."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["PT", "30S", "P1D", "PT-1S", ""])
def test_bad_duration_is_refused(text):
    """Anything else is no duration."""
    with pytest.raises(ValueError, match="an ISO 8601 duration"):
        duration_s(text)


def test_manifest_check_speaks(capsys, monkeypatch, tmp_path):
    """The command prints the road of each source, or what is wrong, with status 2."""
    assert topology.main() == 0
    assert "utterances -> sentiment (unordered) -> sentiment -> scores" in capsys.readouterr().out
    (tmp_path / "1.yaml").write_text("no comment")
    monkeypatch.setattr(topology, "load", lambda load=topology.load: load(tmp_path))
    assert topology.main() == 2
    assert "first line must say" in capsys.readouterr().err


def test_unknown_source_is_named():
    """Asking for a source that does not exist names those that do."""
    with pytest.raises(SettingsError, match="use one of sentiment, board-scores, board-calls"):
        topology.load().source("nobody")
    assert topology.load().source("board-calls").topic == "calls"


def test_kustomization_is_no_manifest(tmp_path):
    """What makes the folder a base of kustomize is read by kustomize alone."""
    for file in _FILES:
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization")
    assert topology.load(tmp_path) == topology.load()
