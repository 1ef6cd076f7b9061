"""Where the jars of the test broker come from."""

from __future__ import annotations

import pytest

from tests.support import kafka_process
from tests.support.kafka_process import MissingKafkaError


@pytest.fixture(name="java")
def _java(tmp_path):
    """A folder for PATH with a java in it and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "java").touch(mode=0o755)
    return str(folder)


def test_no_java_is_said(tmp_path):
    """Without Java the reason names what to install."""
    with pytest.raises(MissingKafkaError, match="openjdk-17-jre-headless"):
        kafka_process.jars({"PATH": str(tmp_path)}, tmp_path / "cache")


def test_no_maven_is_said(tmp_path, java):
    """Without KAFKA_HOME and Maven the reason names both."""
    with pytest.raises(MissingKafkaError, match="neither KAFKA_HOME nor mvn"):
        kafka_process.jars({"PATH": java}, tmp_path / "cache")


def test_installed_kafka_is_used(tmp_path, java):
    """KAFKA_HOME is used as it is: nothing is fetched."""
    found = kafka_process.jars({"PATH": java, "KAFKA_HOME": "/opt/kafka"}, tmp_path / "cache")
    assert str(found) == "/opt/kafka/libs"
    assert not (tmp_path / "cache").exists()
