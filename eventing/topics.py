"""The topics: ``python -m eventing.topics`` makes those of the manifests that Kafka has not.

The dead-letter topics are among them. A topic that is there already is left as it is;
where it differs from what is wanted, that is said.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from eventing import topology
from linewatch import settings
from linewatch.errors import LinewatchError, SettingsError, Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.protocol import KEPT_S
from linewatch.eventlog.settings import KafkaSettings
from linewatch.settings import setting

_IN_SYNC: Final = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class TopicsSettings(KafkaSettings):
    """What the command needs."""

    replication: int = setting(
        "KAFKA_REPLICATION", settings.whole(1, 100), "1", "copies of each new topic"
    )
    least_in_sync: int = setting(
        "KAFKA_MIN_INSYNC",
        settings.whole(0, 100),
        "0",
        "copies that must have a record of a new topic; 0 = one less than KAFKA_REPLICATION",
    )
    kept_hours: int = setting(
        "KAFKA_KEPT_HOURS",
        settings.whole(1, 24 * 366),
        str(KEPT_S // 3600),
        "hours after which a new topic drops what was said",
    )
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )

    @property
    def in_sync(self) -> int:
        """How many copies must have a record before it counts as written.

        Raises:
            SettingsError: it is more copies than there are.
        """
        if self.least_in_sync > self.replication:
            raise SettingsError(
                f"KAFKA_MIN_INSYNC={self.least_in_sync} is above KAFKA_REPLICATION="
                f"{self.replication}: nothing could be written; lower it"
            )
        return self.least_in_sync or max(1, self.replication - 1)

    def kind_of(self, partitions: int) -> Mapping[str, object]:
        """Return what Kafka is told of a new topic."""
        configs = {
            "retention.ms": str(self.kept_hours * 3_600_000),
            _IN_SYNC: str(self.in_sync),
        }
        return {
            "num_partitions": partitions,
            "replication_factor": self.replication,
            "configs": configs,
        }


class Topics:
    """What the brokers know of topics.

    Every method raises `Unavailable` where Kafka is away or refuses.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._admin: Any = brokers.connect(KafkaAdminClient)

    def make(self, told: TopicsSettings, wanted: Mapping[str, int]) -> tuple[str, ...]:
        """Make those of *wanted* (name to partitions) that are missing; return their names."""
        kinds = {name: told.kind_of(partitions) for name, partitions in wanted.items()}
        with _translated():
            missing = sorted(set(wanted) - set(self._admin.list_topics()))
            # Another may make one in the meantime.
            with contextlib.suppress(TopicAlreadyExistsError):
                if missing:
                    made = {name: kinds[name] for name in missing}
                    self._admin.create_topics(made, wait_for_metadata=True)
        return tuple(missing)

    def faults(self, wanted: Mapping[str, int]) -> Iterator[str]:
        """Yield one line a topic that is not as *wanted*, or that nobody can write to."""
        names = sorted(wanted)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        with _translated():
            described = self._admin.describe_topics(names)
            (configs,) = self._admin.describe_configs(asked, config_filter="all").values()
        for topic in sorted(described, key=lambda each: str(each["name"])):
            name, partitions = topic["name"], topic["partitions"]
            in_sync = int(configs[name][_IN_SYNC]["value"])
            copies = min((len(each["replica_nodes"]) for each in partitions), default=0)
            if len(partitions) != wanted[name]:
                yield f"{name} has {len(partitions)} partitions, not {wanted[name]}: it stays so"
            if in_sync > copies:
                yield (
                    f"{name} has {copies} copies and {_IN_SYNC}={in_sync}: "
                    "nothing can be written; lower it, or add copies"
                )

    def close(self) -> None:
        """Give the connections back."""
        self._admin.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KafkaError, RuntimeError) as error:
        raise Unavailable(f"Kafka refuses: {type(error).__name__}") from error


def make(told: TopicsSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the topics that are missing; return their names, and what differs in the others.

    Raises:
        SettingsError: the settings are wrong, or Kafka does not let us in.
    """
    if not told.kafka_brokers:
        raise SettingsError("KAFKA_BROKERS must be set: the log in Redis needs no topics")
    wanted = topology.load(Path(told.manifests)).topics
    with closing(Topics(Brokers(told))) as topics:
        made = topics.make(told, wanted)
        old = {name: wanted[name] for name in wanted if name not in made}
        return made, tuple(topics.faults(old)) if old else ()


def main(env: Mapping[str, str]) -> int:
    """Run the command; return the exit status."""
    try:
        told = settings.load(TopicsSettings, env)
        made, faults = make(told)
    except LinewatchError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    sys.stdout.write(f"made {', '.join(made)}\n" if made else "all topics are there\n")
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
