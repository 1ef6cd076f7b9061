"""The topics: ``python -m eventing.topics`` makes those of the manifests that Kafka has not.

The dead-letter topics are among them. A topic that is there already is left as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from eventing import topology
from eventing.log_kafka import KafkaLog
from linewatch import settings
from linewatch.decoder.brokers import Brokers
from linewatch.errors import LinewatchError, SettingsError
from linewatch.settings import KafkaSettings, setting


@dataclass(frozen=True, slots=True)
class TopicsSettings(KafkaSettings):
    """What the command needs."""

    replication: int = setting(
        "KAFKA_REPLICATION", settings.whole(1, 100), "1", "copies of each new topic"
    )
    kept_hours: int = setting(
        "KAFKA_KEPT_HOURS",
        settings.whole(1, 24 * 366),
        str(topology.KEPT_S // 3600),
        "hours after which a new topic drops what was said",
    )
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )


def make(told: TopicsSettings) -> tuple[str, ...]:
    """Make the topics that are missing; return their names.

    Raises:
        SettingsError: the settings are wrong, or Kafka does not let us in.
    """
    if not told.kafka_brokers:
        raise SettingsError("KAFKA_BROKERS must be set: the log in Redis needs no topics made")
    wanted = topology.load(Path(told.manifests)).topics
    with closing(KafkaLog(Brokers(told), told.kafka_connect_s)) as event_log:
        return event_log.make(wanted, told.replication, told.kept_hours * 3600)


def main(env: Mapping[str, str]) -> int:
    """Run the command; return the exit status."""
    try:
        made = make(settings.load(TopicsSettings, env))
    except LinewatchError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    sys.stdout.write(f"made {', '.join(made)}\n" if made else "all topics are there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
