"""Real Kafka brokers: one that is there, or the tests' own with a listener for every way in."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import uuid

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from eventing import topology
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.kafka_writer import KafkaLogWriter
from linewatch.eventlog.settings import KafkaSettings
from linewatch.events import Record
from linewatch.settings import load
from tests.support import kafka_process, loopback

PARTITIONS = 12
USER, PASSWORD = "line", "right"
#: In every name this run makes: brokers outlive runs.
RUN = uuid.uuid4().hex[:8]
_COUNT = itertools.count()

# It is alone: a killed broker is taken for dead after 2 s, and so is back sooner.
_EXTRA = """
listeners=LOCAL://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl},MTLS://127.0.0.1:{mtls}
advertised.listeners=LOCAL://127.0.0.1:{plain},\
TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl},MTLS://127.0.0.1:{mtls}
listener.security.protocol.map=LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT,\
TLS:SSL,SASL:SASL_SSL,MTLS:SSL
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


def _openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder):
    """Make an authority, one that signed nothing, and what it signed for broker and client."""
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    for name in ("ca", "other"):
        own = (*new, "-x509", "-days", "9", "-subj", f"/CN={name}")
        _openssl(*own, "-keyout", f"{name}.key", "-out", f"{name}.pem", folder=folder)
    for name in ("broker", "client"):
        asked = (*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        _openssl(*asked, folder=folder)
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", names.name)
        asked = ("x509", "-req", "-days", "9", "-in", f"{name}.csr", *signed)
        _openssl(*asked, "-out", f"{name}.pem", folder=folder)
    both = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker.both").write_text(both)


class PlainBroker:
    """A broker that takes everybody at *address*, and what the tests ask of it."""

    def __init__(self, address):
        self.address = address

    @property
    def env(self):
        """What a role is told to use it."""
        return {"KAFKA_BROKERS": self.address, "KAFKA_CONNECT_S": "60", "KAFKA_TOPICS_S": "0"}

    def brokers(self, **env):
        """Return the clients' maker, for the plain listener or for what *env* says."""
        return Brokers(load(KafkaSettings, env or self.env))

    def writer(self, **options):
        """Return a writer that waits as long as a busy machine needs."""
        return KafkaLogWriter(self.brokers(), 60, **options)

    def log(self):
        """Return the event log, as patient."""
        return KafkaLog(self.brokers(), 60)

    @contextlib.contextmanager
    def _admin(self):
        admin = self.brokers().connect(KafkaAdminClient, 30)
        yield admin
        admin.close()

    def make_topics(self, *topics, configs=None, partitions=PARTITIONS):
        """Make *topics* of so many *partitions*."""
        wanted = {
            each: {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}
            for each in topics
        }
        with self._admin() as admin:
            admin.create_topics(wanted, wait_for_metadata=True)

    def committed(self, group):
        """Return the offsets *group* committed, by partition."""
        with self._admin() as admin:
            kept = admin.list_group_offsets({group: None})[group]
        return {each.partition: told.offset for each, told in kept.items()}

    def read(self, topic):
        """Return every record of *topic*, partition by partition in its order."""
        consumer = self.brokers().connect(KafkaConsumer, 30)
        several = [TopicPartition(topic, each) for each in range(PARTITIONS)]
        consumer.assign(several)
        ends = consumer.end_offsets(several)
        consumer.seek_to_beginning()
        found = {each: [] for each in several}
        while any(consumer.position(each) < ends[each] for each in several):
            for each, read in consumer.poll(timeout_ms=1000).items():
                found[each] += read
        consumer.close()
        return [_record(each) for several in found.values() for each in several]

    def tidy(self):
        """Delete the topics of this run."""
        with self._admin() as admin:
            admin.delete_topics([each for each in admin.list_topics() if RUN in each])


class Broker(PlainBroker):
    """One broker: started, killed and started again by a test."""

    def __init__(self, folder):
        libs = kafka_process.jars()
        self.folder = folder
        home = folder / "kafka"
        home.mkdir()
        make_certificates(folder)
        names = ("plain", "controller", "tls", "sasl", "mtls")
        self.ports = dict(zip(names, loopback.free_ports(len(names)), strict=True))
        super().__init__(f"127.0.0.1:{self.ports['plain']}")
        extra = _EXTRA.format(folder=folder, user=USER, password=PASSWORD, **self.ports)
        ports = self.ports["plain"], self.ports["controller"]
        self._process = kafka_process.KafkaProcess(home, libs, *ports, extra)

    def secured(self, listener, **more):
        """What a role is told to use *listener*: tls, sasl or mtls."""
        told = {**self.env, "KAFKA_BROKERS": f"127.0.0.1:{self.ports[listener]}"}
        told["SSL_CERT_PATH"] = str(self.folder / "ca.pem")
        if listener == "sasl":
            told["KAFKA_SASL_MECHANISM"] = "PLAIN"
            told |= {"KAFKA_USERNAME": USER, "KAFKA_PASSWORD": PASSWORD}
        if listener == "mtls":
            told["KAFKA_CLIENT_CERT"] = str(self.folder / "client.pem")
            told["KAFKA_CLIENT_KEY"] = str(self.folder / "client.key")
        return told | more

    @property
    def pid(self):
        """Its process."""
        return self._process.pid

    def start(self):
        """Start it, or do nothing if it runs; return once it answers."""
        self._process.start()

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()

    def stop(self):
        """End it."""
        self._process.stop()


def _record(read):
    return Record(read.topic, (read.key or b"").decode(), dict(read.headers), read.value)


def unique(name):
    """Return a name that no other test uses, nor another run."""
    return f"{name}-{RUN}-{next(_COUNT)}"


def write_manifests(folder):
    """Write the project's manifests with topics and groups of their own; return the prefix."""
    prefix = unique("own")
    for file in sorted(topology.FOLDER.glob("*.yaml")):
        named = r"(topic: |topics: \[|consumerGroup: |uri: /)"
        text = re.sub(named, rf"\g<1>{prefix}-", file.read_text())
        text = re.sub(r'^  (\S+: "12")$', rf"  {prefix}-\1", text, flags=re.MULTILINE)
        (folder / file.name).write_text(text)
    return prefix
