"""Fixtures many tests share: a real Redis, and the test inputs beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
import redis
from kafka.net import KafkaNetSocket

from infra.launcher import redis_server
from infra.model import preparation
from tests.support import kafka_broker
from tests.support.kafka_process import MissingKafkaError
from tests.support.skips import Skips

# A busy machine is no failure.
hypothesis.settings.register_profile("linewatch", deadline=None)
hypothesis.settings.load_profile("linewatch")

#: KAFKA_BROKERS is for the tests alone: a role they start would take it for its own.
GIVEN_BROKERS = "TESTS_KAFKA_BROKERS"
if "KAFKA_BROKERS" in os.environ:
    os.environ[GIVEN_BROKERS] = os.environ.pop("KAFKA_BROKERS")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config):
    """Let the process that prints the results judge what was skipped."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Skips(is_ci=bool(os.environ.get("CI"))))


def pytest_addoption(parser):
    """Let `make attack` ask for more."""
    parser.addoption("--attacks", type=int, default=200, help="hostile requests a test makes")


@pytest.fixture(scope="session", autouse=True)
def _connecting():
    """Close what kafka-python leaves to the collector when connecting fails or is cut short."""
    connect = KafkaNetSocket.sock_connect

    async def closing(self, net, sock, *rest, **fields):
        try:
            return await connect(self, net, sock, *rest, **fields)
        except BaseException:
            sock.close()
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNetSocket, "sock_connect", closing)
        yield


@pytest.fixture(scope="session", name="attacks")
def _attacks(request):
    """How many hostile requests a test makes."""
    return request.config.getoption("--attacks")


@pytest.fixture(scope="session", name="redis_port")
def _redis_port(tmp_path_factory):
    port = redis_server.free_port()
    process = redis_server.start(port, tmp_path_factory.mktemp("redis"), durable=False)
    yield port
    process.terminate()
    process.wait()


@pytest.fixture(name="redis_url")
def _redis_url(redis_port):
    """An empty, real Redis."""
    url = f"redis://127.0.0.1:{redis_port}/0"
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture(scope="session", name="shared")
def _shared():
    """The folder of recordings, texts and schemas; the test skips where it is not laid."""
    if not SHARED.exists():
        pytest.skip("../shared is not here: it holds the recordings, texts and schemas")
    return SHARED


@pytest.fixture(scope="session", name="prepared_model")
def _prepared_model():
    """The folder of the English model made ready; the first run builds its graph, once."""
    laid = SHARED / "models" / "vosk-model-small-en-us-0.15"
    here = (
        {} if os.environ.get("VOSK_MODEL_PATH") or not laid.exists() else {"VOSK_MODEL_PATH": laid}
    )
    return preparation.prepare(
        env={**os.environ, **{name: str(path) for name, path in here.items()}}
    )


@pytest.fixture(scope="session", name="kafka")
def _kafka(request):
    """A plain Kafka broker: that of KAFKA_BROKERS, else the tests' own."""
    address = os.environ.get(GIVEN_BROKERS)
    if not address:
        yield request.getfixturevalue("own_kafka")
        return
    broker = kafka_broker.PlainBroker(address)
    yield broker
    broker.tidy()


@pytest.fixture(scope="session", name="own_kafka")
def _own_kafka(tmp_path_factory):
    """A Kafka broker to kill and to log in to; without Java or Kafka's jars the test skips."""
    try:
        broker = kafka_broker.Broker(tmp_path_factory.mktemp("kafka"))
    except MissingKafkaError as error:
        given = "the broker of KAFKA_BROKERS is not ours to break, and "
        pytest.skip(f"{given if os.environ.get(GIVEN_BROKERS) else ''}{error}")
    broker.start()
    yield broker
    broker.stop()
