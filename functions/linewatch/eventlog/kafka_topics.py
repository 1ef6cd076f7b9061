"""Making Kafka's topics, and comparing them with what is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError

from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka_member import translated

#: The setting of a topic that says how many copies must have a record.
IN_SYNC: Final = "min.insync.replicas"


class Topics:
    """What the brokers know of topics.

    Every method raises `Unavailable` where Kafka is away or refuses.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._admin: Any = brokers.connect(KafkaAdminClient)

    def make(self, wanted: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
        """Make those of *wanted* that are missing; return their names.

        *wanted* gives, by topic, Kafka's ``num_partitions``, ``replication_factor``, ``configs``.
        """
        with translated():
            missing = sorted(set(wanted) - set(self._admin.list_topics()))
            # Another may make one in the meantime.
            with contextlib.suppress(TopicAlreadyExistsError):
                if missing:
                    new = {name: wanted[name] for name in missing}
                    self._admin.create_topics(new, wait_for_metadata=True)
        return tuple(missing)

    def faults(self, wanted: Mapping[str, int]) -> Iterator[str]:
        """Yield a line for each topic that nobody can write to, or whose partitions differ.

        *wanted* is the number of partitions by topic.
        """
        names = sorted(wanted)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        with translated():
            described = self._admin.describe_topics(names)
            (configs,) = self._admin.describe_configs(asked, config_filter="all").values()
        for topic in sorted(described, key=lambda each: str(each["name"])):
            name, partitions = topic["name"], topic["partitions"]
            in_sync = int(configs[name][IN_SYNC]["value"])
            copies = min((len(each["replica_nodes"]) for each in partitions), default=0)
            if len(partitions) != wanted[name]:
                yield f"{name} has {len(partitions)} partitions, not {wanted[name]}: it stays so"
            if in_sync > copies:
                yield (
                    f"{name} has {copies} copies and {IN_SYNC}={in_sync}: "
                    "nothing can be written; lower it, or add copies"
                )

    def close(self) -> None:
        """Give the connections back."""
        self._admin.close()
