"""The dead letters: what could not be delivered, listed with its reason, and replayed.

``python -m eventing.dead_letters list|replay [--source NAME]``. What the log itself
refused is listed too, as ``relay``: it lies in Redis, and cannot be replayed.

``python -m eventing.dead_letters missing [--deliver]`` finds what not even became a dead
letter: utterances that the source is done with and that have no score. It looks at what is
new since the last time that none was missing; on the log in Redis at the last 10 minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from eventing import topology
from eventing.delivery import kafkasource_request
from eventing.reconciliation import report
from eventing.reconciliation.comparison import Comparison, Found
from eventing.topology import Source, Topology
from linewatch import events
from linewatch.errors import LinewatchError, SettingsError
from linewatch.eventlog import choice
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.record import Entry
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings
from linewatch.keys import UNREADABLE
from linewatch.settings import load, setting

#: A human waits for the answer.
_PATIENCE_S = 30.0
#: The source whose function answers each event with one of its own.
_SCORED = "sentiment"


@dataclass(frozen=True, slots=True)
class DeadLetterSettings(LogSettings):
    """What the command needs."""

    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )


def chosen(known: Topology, name: str | None) -> tuple[Source, ...]:
    """Return the source called *name*, or all of them.

    Raises:
        SettingsError: no source has that name.
    """
    return (known.source(name),) if name else known.sources


def lines(event_log: EventLog, sources: Sequence[Source]) -> Iterator[str]:
    """Yield one line a dead letter: which event, where it failed and why; never its words."""
    for source in sources:
        for entry in event_log.letters(source.dead_letters):
            yield f"{source.name} {_line(entry)}"


def refused(redis_log: RedisLog) -> Iterator[str]:
    """Yield one line a record that the log did not take from the relay."""
    for entry in redis_log.entries(UNREADABLE):
        yield f"relay {_which(entry)}: {_field(entry, b'reason')}"


def _line(entry: Entry) -> str:
    code, reason, where = (
        _field(entry, name)
        for name in (b"ce_knativeerrorcode", b"ce_reason", b"ce_knativeerrordest")
    )
    return f"{_which(entry)}: {code} {reason} from {where}"


def _which(entry: Entry) -> str:
    at = events.at(entry.written_at_ms).isoformat(timespec="seconds")
    return " ".join([at, *(_field(entry, name) for name in (b"ce_type", b"ce_source", b"ce_id"))])


def _field(entry: Entry, name: bytes) -> str:
    return entry.fields.get(name, b"-").decode(errors="replace")


def replay(event_log: EventLog, sources: Sequence[Source]) -> int:
    """Publish the original of every dead letter to its topic, then forget it; return how many.

    Raises:
        Unavailable: the log is away; what was not replayed is still there.
    """
    count = 0
    for source in sources:
        for entry in event_log.letters(source.dead_letters):
            event_log.publish([kafkasource_request.original(source, entry)])
            event_log.replayed(source.dead_letters, entry)
            count += 1
    return count


def compare(event_log: EventLog, known: Topology, asked: argparse.Namespace, now_ms: int) -> Found:
    """Print a line for each utterance that is missing, and how many they are.

    Raises:
        SettingsError: the source makes no event of each that it is given.
    """
    source = known.source(asked.source or _SCORED)
    if source.name != _SCORED:
        raise SettingsError(
            f"only {_SCORED} publishes one result for each event: use --source {_SCORED}"
        )
    comparison = Comparison(event_log, source, known.sinks[known.bindings[source.service]])
    found = comparison.run(
        lambda entry: _say(f"{source.name} {_which(entry)}"),
        now_ms=now_ms,
        age_s=asked.age,
        everything=asked.all,
        deliver=asked.deliver,
    )
    _say(str(found))
    if asked.report:
        report.send(asked.report, source.name, found.missing)
    return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _of_relay(settings: DeadLetterSettings, source: str | None) -> Iterator[str]:
    if not source and settings.redis_url:
        with closing(RedisLog.at(settings.redis_url)) as redis_log:
            yield from refused(redis_log)


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eventing.dead_letters", description=__doc__)
    parser.add_argument("do", choices=("list", "replay", "missing"))
    parser.add_argument("--source", help="only this KafkaSource's")
    missing = parser.add_argument_group("missing")
    missing.add_argument("--deliver", action="store_true", help="publish them again")
    missing.add_argument("--all", action="store_true", help="from the beginning of the log")
    missing.add_argument("--age", type=float, default=0, help="seconds that an answer may take")
    missing.add_argument("--report", help="URL to which the number is posted")
    asked = parser.parse_args(arguments)
    try:
        settings = load(DeadLetterSettings, env)
        known = topology.load(Path(settings.manifests))
        sources = chosen(known, asked.source)
        with closing(choice.open_log(settings, _PATIENCE_S)) as event_log:
            if asked.do == "missing":
                now_ms = round(time.time() * 1000)
                return int(not compare(event_log, known, asked, now_ms).is_right)
            if asked.do == "list":
                for line in (*lines(event_log, sources), *_of_relay(settings, asked.source)):
                    _say(line)
            else:
                _say(f"{replay(event_log, sources)} replayed")
    except LinewatchError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
