"""The application is deleted, what it has recorded stays, and how to delete that too is told."""

from __future__ import annotations

from tests.infra.deploy.played import kafka_sink, made, pod

SERVICE = "serving.knative.dev/service"
CLAIM = made("v1", "PersistentVolumeClaim", "data-redis-0", status={"phase": "Bound"})
OWN = made("v1", "Secret", "linewatch", data={"TOKENS": "eA=="})


def test_data_is_kept(played):
    """The namespace, claims and the owner's Secrets stay, and all else is gone."""
    played.run()
    played.objects += [CLAIM, OWN]
    code, told = played.run("--delete")
    assert code == 0, told
    assert played.titles() == {
        *("namespace/linewatch", "persistentvolumeclaim/data-redis-0", "secret/linewatch"),
        *("node/one", "storageclass/fast"),
    }


def test_says_what_is_kept(played):
    """It says what stays, Kafka's topics too, and how to delete that."""
    played.objects += [CLAIM, OWN]
    kept = "namespace linewatch, pvc/data-redis-0, secret/linewatch"
    tool = "kafka-topics.sh --bootstrap-server KAFKA --delete --topic 'scores|utterances'"
    assert played.run("--delete")[1].splitlines()[-3:] == [
        f"kept: {kept}; in Kafka the topics scores, utterances",
        "to delete these too: kubectl delete namespace linewatch",
        f"  and in Kafka: {tool}",
    ]


def test_last_is_deleted_first(played):
    """The lines go first, then the functions, then their sinks, then the store."""
    played.run()
    played.run("--delete")
    lines, road, sinks, ground = [each["objects"] for each in played.called("delete")]
    assert lines == ["deployment/gateway"]
    assert road.index("ksvc/sentiment") < road.index("sinkbinding/sentiment")
    assert "kafkasink/scores" in sinks
    assert "statefulset/redis" in ground


def test_store_waits_for_decoders(played):
    """The store is deleted only after the last pod of a function has ended its calls."""
    played.objects.append(pod("sentiment-1", {SERVICE: "sentiment"}))
    code, told = played.run("--delete", "--timeout", "20s")
    assert code == 1
    assert told.splitlines()[-1] == (
        "FAILED: still there: pod/sentiment-1; run the same command again"
    )
    assert "statefulset/redis" not in str(played.called("delete"))


def test_unserved_kind_is_skipped(played):
    """Where a kind is served no more, the others are deleted all the same."""
    played.run()
    played.served["sources.knative.dev/v1"].remove("KafkaSource")
    assert played.run("--delete")[0] == 0
    assert "kafkasource/sentiment" in played.titles()
    assert "ksvc/sentiment" not in played.titles()


def test_topic_owner_is_refused(played):
    """A sink that would take its topic along is deleted with --force only."""
    played.objects.append(kafka_sink("scores", numPartitions=12, replicationFactor=1))
    code, told = played.run("--delete")
    assert (code, played.called("delete")) == (1, [])
    assert "FAILED: KafkaSink scores owns its topic scores" in told
    assert played.run("--delete", "--force")[0] == 0
