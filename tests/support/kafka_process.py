"""A Kafka broker's process: KRaft, one node, from the jars of KAFKA_HOME or of Maven."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

from tests.support.waiting import eventually

OURS = Path(__file__).resolve().parent / "kafka"
#: Where fetched jars are kept from one run to the next.
CACHE = Path.home() / ".cache" / "linewatch" / "test-kafka"
#: A machine at work may take a minute; a broker that ended is noticed at once.
START_S, STOP_S = 300, 60
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=LOCAL
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
"""
# ApiVersions v0 with the correlation id 1, and how its answer begins behind the length.
_ASKED, _ANSWERED = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff", b"\0\0\0\x01"


class MissingKafkaError(Exception):
    """This machine has no Kafka, and nothing to fetch one with."""


def jars(env=os.environ, cache=CACHE):
    """Return the folder of Kafka's jars: KAFKA_HOME's, or those that Maven fetches once.

    Raises:
        MissingKafkaError: There is no Java, or neither KAFKA_HOME nor Maven.
    """
    if not shutil.which("java", path=env.get("PATH")):
        raise MissingKafkaError("no java on PATH: apt-get install openjdk-17-jre-headless")
    if env.get("KAFKA_HOME"):
        return Path(env["KAFKA_HOME"]) / "libs"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fetched(env, cache / "libs")


def _fetched(env, folder):
    wanted = OURS / "pom.xml"
    mark = folder / wanted.name
    if mark.exists() and mark.read_text() == wanted.read_text():
        return folder
    if not shutil.which("mvn", path=env.get("PATH")):
        raise MissingKafkaError("neither KAFKA_HOME nor mvn: apt-get install maven")
    shutil.rmtree(folder, ignore_errors=True)
    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    ran = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(wanted), *goal],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise MissingKafkaError(f"mvn fetched no Kafka: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    # Last: the mark of a whole set.
    shutil.copy(wanted, mark)
    return folder


class KafkaProcess:
    """One node in *home* with the settings *extra*; it may be killed and started again."""

    def __init__(self, home, libs, port, controller, extra):
        self._log, self._data, self._port = home / "server.log", home / "data", port
        self._settings = home / "server.properties"
        self._settings.write_text(
            _PROPERTIES.format(controller=controller, data=self._data) + extra
        )
        # C1 alone: a third less CPU to start.
        self._java = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*"]
        self._java.append(f"-Dlog4j2.configurationFile={OURS / 'log4j2.properties'}")
        self._process = None

    @property
    def pid(self):
        """Its process."""
        return self._process.pid

    def start(self):
        """Start it, or do nothing if it runs; return once it answers."""
        if self._process is None or self._process.poll() is not None:
            self._format()
            with self._log.open("wb") as log:
                command = [*self._java, "-Xmx512m", "kafka.Kafka", str(self._settings)]
                # Ctrl-C is for the tests, which end it themselves.
                self._process = subprocess.Popen(
                    command, stdout=log, stderr=log, start_new_session=True
                )
        eventually(self._answers, START_S, every_s=0.1)

    def _format(self):
        if (self._data / "meta.properties").exists():
            return
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        tool = ("-Xmx256m", "kafka.tools.StorageTool", "format", "-c", str(self._settings))
        ran = subprocess.run(
            [*self._java, *tool, "-t", name], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"kafka format: {ran.stdout[-500:]}{ran.stderr[-1500:]}"

    def _answers(self):
        assert self._process.poll() is None, f"the broker ended: {self._last_words()}"
        if b"Kafka Server started" not in self._log.read_bytes():
            return False
        try:
            with socket.create_connection(("127.0.0.1", self._port), 2) as connection:
                connection.sendall(_ASKED)
                return connection.recv(8, socket.MSG_WAITALL)[4:] == _ANSWERED
        except OSError:
            return False

    def _last_words(self):
        return self._log.read_text(errors="replace")[-1500:]

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """End it in good order, or by force where it takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
