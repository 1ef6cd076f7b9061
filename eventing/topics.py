"""The topics: ``python -m eventing.topics`` makes those of the manifests that Kafka has not.

The dead-letter topics are among them. A topic that is there already is left as it is;
where it differs from what is wanted, that is said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventing import topology
from linewatch.errors import LinewatchError, SettingsError
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka_topics import IN_SYNC, Topics
from linewatch.eventlog.protocol import KEPT_S
from linewatch.eventlog.settings import KafkaSettings
from linewatch.settings import load, setting, whole

#: A record that one broker alone has is lost with it.
_IN_SYNC: Final = 2


@dataclass(frozen=True, slots=True)
class TopicsSettings(KafkaSettings):
    """What the command needs."""

    replication: int = setting("KAFKA_REPLICATION", whole(1, 100), "1", "copies of each new topic")
    least_in_sync: int = setting(
        "KAFKA_MIN_INSYNC",
        whole(0, 100),
        "0",
        "copies that must have a record of a new topic; 0 = 2, or 1 if KAFKA_REPLICATION is 1",
    )
    kept_hours: int = setting(
        "KAFKA_KEPT_HOURS",
        whole(1, 24 * 366),
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
        return self.least_in_sync or min(_IN_SYNC, self.replication)

    def kind_of(self, partitions: int) -> Mapping[str, object]:
        """Return the settings of a new topic, as Kafka's client wants them."""
        configs = {
            "retention.ms": str(self.kept_hours * 3_600_000),
            IN_SYNC: str(self.in_sync),
        }
        return {
            "num_partitions": partitions,
            "replication_factor": self.replication,
            "configs": configs,
        }


def make(settings: TopicsSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the topics that are missing; return their names, and what differs in the others.

    Raises:
        SettingsError: the settings are wrong, or Kafka does not let us in.
    """
    if not settings.kafka_brokers:
        raise SettingsError("KAFKA_BROKERS must be set: the log in Redis needs no topics")
    wanted = topology.load(Path(settings.manifests)).topics
    with closing(Topics(Brokers(settings))) as topics:
        made = topics.make({name: settings.kind_of(count) for name, count in wanted.items()})
        old = {name: wanted[name] for name in wanted if name not in made}
        return made, tuple(topics.faults(old)) if old else ()


def main(env: Mapping[str, str]) -> int:
    """Run the command; return the exit status."""
    try:
        made, faults = make(load(TopicsSettings, env))
    except LinewatchError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    sys.stdout.write(f"made {', '.join(made)}\n" if made else "all topics are there\n")
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
