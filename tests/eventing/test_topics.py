"""Holds the making of topics to the manifests."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from eventing import topics
from linewatch.settings import load
from tests.support.kafka_broker import write_manifests


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """Manifests of which no other test has the topics."""
    return tmp_path, write_manifests(tmp_path)


def test_manifests_topics_are_made(kafka, folder, capsys):
    """Every topic of the manifests is made with its partitions, once."""
    manifests, name = folder
    env = {**kafka.env, "MANIFESTS": str(manifests)}
    assert topics.main(env) == 0
    made = capsys.readouterr().out
    assert f"{name}-utterances" in made
    assert f"{name}-dead-sentiment" in made
    assert topics.main(env) == 0
    assert capsys.readouterr() == ("all topics are there\n", "")
    admin = kafka.brokers().connect(KafkaAdminClient)
    (described,) = admin.describe_topics([f"{name}-utterances"])
    admin.close()
    assert len(described["partitions"]) == 12


def test_missing_topic_alone_is_made(kafka, folder, capsys):
    """Only what is missing is made."""
    manifests, name = folder
    kafka.make_topics(f"{name}-utterances")
    assert topics.main({**kafka.env, "MANIFESTS": str(manifests)}) == 0
    made = capsys.readouterr().out
    assert f"{name}-utterances" not in made
    assert f"{name}-scores" in made


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ((3, "1"), "utterances has 3 partitions, not 12: it stays so"),
        ((12, "2"), "utterances has 1 copies and min.insync.replicas=2: nothing can be written"),
    ],
)
def test_unfit_topic_is_told(kafka, folder, capsys, kind, said):
    """A topic that is there stays as it is, and what is wrong with it is one line."""
    manifests, name = folder
    partitions, in_sync = kind
    configs = {"min.insync.replicas": in_sync}
    kafka.make_topics(f"{name}-utterances", partitions=partitions, configs=configs)
    assert topics.main({**kafka.env, "MANIFESTS": str(manifests)}) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("env", "copies"),
    [
        ({}, 1),
        ({"KAFKA_REPLICATION": "2"}, 2),
        ({"KAFKA_REPLICATION": "3"}, 2),
        ({"KAFKA_REPLICATION": "5"}, 2),
        ({"KAFKA_REPLICATION": "2", "KAFKA_MIN_INSYNC": "1"}, 1),
        ({"KAFKA_REPLICATION": "3", "KAFKA_MIN_INSYNC": "3"}, 3),
    ],
)
def test_two_copies_are_written(env, copies):
    """A record is written when two copies have it where there are two, or as many as are set."""
    topic_settings = load(topics.TopicsSettings, env)
    assert topic_settings.kind_of(12)["configs"]["min.insync.replicas"] == str(copies)


@pytest.mark.parametrize(("env", "hours"), [({}, 168), ({"KAFKA_KEPT_HOURS": "2"}, 2)])
def test_records_are_dropped_in_time(kafka, folder, env, hours):
    """A new topic, dead letters too, keeps what was said for a week, or as long as is set."""
    manifests, name = folder
    assert topics.main({**kafka.env, "MANIFESTS": str(manifests), **env}) == 0
    admin = kafka.brokers().connect(KafkaAdminClient)
    names = {f"{name}-utterances", f"{name}-dead-sentiment"}
    asked = [ConfigResource(ConfigResourceType.TOPIC, each) for each in names]
    (described,) = admin.describe_configs(asked).values()
    admin.close()
    kept_ms = {topic: each["retention.ms"]["value"] for topic, each in described.items()}
    assert kept_ms == dict.fromkeys(names, str(hours * 3_600_000))
    assert {each["min.insync.replicas"]["value"] for each in described.values()} == {"1"}


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({}, "KAFKA_BROKERS must be set"),
        ({"KAFKA_BROKERS": "here"}, "use host:port"),
        ({"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_REPLICATION": "0"}, "KAFKA_REPLICATION: must be"),
        (
            {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "0.3"},
            "Kafka at 127.0.0.1:1 does not let us in",
        ),
    ],
)
def test_wrong_setting_is_one_line(env, line, capsys):
    """A wrong setting is one line on stderr and status 2."""
    assert topics.main(env) == 2
    (printed,) = capsys.readouterr().err.splitlines()
    assert line in printed


def test_more_in_sync_than_copies_is_refused(kafka, folder, capsys):
    """No topic is made to which nothing could be written."""
    manifests, name = folder
    env = {**kafka.env, "MANIFESTS": str(manifests), "KAFKA_MIN_INSYNC": "2"}
    assert topics.main(env) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "KAFKA_MIN_INSYNC=2 is above KAFKA_REPLICATION=1" in line
    assert f"{name}-utterances" not in kafka.brokers().topics()


def test_impossible_copies_are_told(kafka, folder, capsys):
    """More copies than brokers is one line, not a trace."""
    manifests, _ = folder
    env = {**kafka.env, "MANIFESTS": str(manifests), "KAFKA_REPLICATION": "3"}
    assert topics.main(env) == 2
    assert capsys.readouterr().err == "Kafka refuses: InvalidReplicationFactorError\n"
