"""The dispatcher: runs every KafkaSource of the manifests on the local event log.

``python -m eventing.dispatcher``; ends with status 0 on SIGTERM, once the
deliveries under way are settled or their time is up.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eventing import topology
from eventing.delivery import Courier
from eventing.lane import Lane, tracks
from eventing.log_redis import Log
from eventing.topology import Source, Topology
from linewatch import settings
from linewatch.errors import SettingsError, Unavailable
from linewatch.settings import setting

log = logging.getLogger(__name__)

_REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """What the dispatcher needs."""

    redis_url: str = setting(
        "REDIS_URL",
        settings.url("redis", "rediss", "unix"),
        settings.REDIS_URL,
        "where the event log is",
    )
    service_url: str = setting(
        "SERVICE_URL",
        settings.url("http", "https"),
        "http://127.0.0.1:8090/{name}",
        "where a Service answers; {name} is its name",
    )
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )
    consumer: str = setting(
        "DISPATCHER",
        str,
        socket.gethostname(),
        "its name in the consumer groups: one that starts again under it goes on at once",
    )
    grace_s: float = setting(
        "GRACE_S",
        settings.number(0, 600),
        "10",
        "how long deliveries may still take once it was told to stop",
    )


class Dispatcher:
    """Every source's lanes, the trimming of the log and the report to the dashboard."""

    def __init__(self, told: DispatcherSettings, sources: Topology) -> None:
        self._told = told
        self._topology = sources
        self._log = Log.at(told.redis_url)
        self._stopping = threading.Event()
        self._lanes = [lane for source in sources.sources for lane in self._lanes_of(source)]

    def _lanes_of(self, source: Source) -> list[Lane]:
        # "/": a Service is addressed at its root.
        url = self._told.service_url.replace("{name}", source.service) + "/"
        courier = Courier(source, url, self._stopping)
        return [
            Lane(
                source,
                track,
                self._log,
                courier,
                consumer=self._told.consumer,
                stopping=self._stopping,
            )
            for track in tracks(source)
        ]

    def start(self) -> None:
        """Begin to dispatch, on threads of its own."""
        for source in self._topology.sources:
            log.info("%s: %s -> %s", source.name, source.topic, source.service)
        for lane in self._lanes:
            lane.start()
        threading.Thread(target=self._run, name="survey", daemon=True).start()

    def stop(self) -> bool:
        """Read no more, wait for what is under way; tell whether all of it was settled."""
        self._stopping.set()
        deadline = time.monotonic() + self._told.grace_s
        while self.in_hand and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.in_hand

    @property
    def in_hand(self) -> int:
        """How many entries are being delivered now."""
        return sum(lane.in_hand for lane in self._lanes)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._look_after()
            self._stopping.wait(_REPORT_S)

    def _look_after(self) -> None:
        try:
            self._log.report("dispatcher", self.survey())
        except Unavailable:
            # The lanes say that the log is away; what expires on the dashboard says it too.
            log.debug("dispatcher: no report")

    def survey(self) -> Mapping[str, int]:
        """Trim the log and return each source's lag and dead letters.

        Raises:
            Unavailable: the log is away.
        """
        found: dict[str, int] = {}
        for topic in self._topology.topics:
            readers = [each for each in self._topology.sources if each.topic == topic]
            lags = self._log.trim(topic, [source.group for source in readers])
            for source, lag in zip(readers, lags, strict=True):
                found[f"lag.{source.name}"] = lag
                dead = self._log.count(source.delivery.dead_letter_topic)
                found[f"dead.{source.name}"] = dead
        return found


def _end(died: threading.ExceptHookArgs) -> None:
    # A thread that died of a bug would leave its source undelivered: be started anew instead.
    log.critical("dispatcher: ends, a thread died of %s", died.exc_type.__name__)
    os._exit(1)


def main(env: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        told = settings.load(DispatcherSettings, env)
        dispatcher = Dispatcher(told, topology.load(Path(told.manifests)))
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    threading.excepthook = _end
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    dispatcher.start()
    signal.sigwait(ends)
    log.info("dispatcher: stops, %d deliveries under way", dispatcher.in_hand)
    if not dispatcher.stop():
        log.warning("dispatcher: the rest is delivered after the next start")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
