"""The dead letters: what could not be delivered, listed with its reason, and replayed.

``python -m eventing.dead_letters list|replay [--source NAME]``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventing import request, topology
from eventing.log_redis import Entry, Log
from eventing.topology import Source, Topology
from linewatch import events, settings
from linewatch.errors import LinewatchError
from linewatch.settings import setting


@dataclass(frozen=True, slots=True)
class DeadLetterSettings:
    """What the command needs."""

    redis_url: str = setting(
        "REDIS_URL",
        settings.url("redis", "rediss", "unix"),
        settings.REDIS_URL,
        "where the event log is",
    )
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )


def chosen(known: Topology, name: str | None) -> tuple[Source, ...]:
    """Return the source called *name*, or all of them.

    Raises:
        SettingsError: there is none of that name.
    """
    return (known.source(name),) if name else known.sources


def lines(event_log: Log, sources: Sequence[Source]) -> Iterator[str]:
    """Yield one line a dead letter: which event, where it failed and why; never its words."""
    for source in sources:
        for entry in event_log.entries(source.delivery.dead_letter_topic):
            yield f"{source.name} {_line(entry)}"


def _line(entry: Entry) -> str:
    def told(name: str) -> str:
        return entry.fields.get(f"ce_{name}".encode(), b"-").decode(errors="replace")

    at = events.at(entry.written_at_ms).isoformat(timespec="seconds")
    why = f"{told('knativeerrorcode')} {told('reason')} from {told('knativeerrordest')}"
    return f"{at} {told('type')} {told('source')} {told('id')}: {why}"


def replay(event_log: Log, sources: Sequence[Source]) -> int:
    """Publish the original of every dead letter to its topic, then delete it; return how many.

    Raises:
        Unavailable: the log is away; what was not replayed is still there.
    """
    count = 0
    for source in sources:
        topic = source.delivery.dead_letter_topic
        for entry in event_log.entries(topic):
            event_log.publish([request.original(source, entry)])
            event_log.delete(topic, entry)
            count += 1
    return count


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eventing.dead_letters", description=__doc__)
    parser.add_argument("do", choices=("list", "replay"))
    parser.add_argument("--source", help="only this KafkaSource's dead letters")
    asked = parser.parse_args(arguments)
    try:
        told = settings.load(DeadLetterSettings, env)
        sources = chosen(topology.load(Path(told.manifests)), asked.source)
        event_log = Log.at(told.redis_url)
        if asked.do == "list":
            sys.stdout.writelines(f"{line}\n" for line in lines(event_log, sources))
        else:
            sys.stdout.write(f"{replay(event_log, sources)} replayed\n")
    except LinewatchError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
