"""The dispatcher: runs the KafkaSources of the manifests on the event log, Kafka or Redis.

``python -m eventing.dispatcher``; ends with status 0 on SIGTERM, once the
deliveries under way are settled or their time is up. Without ``SOURCE`` it runs them
all; as a Knative ContainerSource it runs the one named there and delivers to ``K_SINK``.
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
from eventing.delivery.deliverer import Deliverer
from eventing.delivery.readers import Reader, open_delivery
from eventing.delivery.workers import DeliveryWorkers
from eventing.metrics import DispatcherMeters, Outcome
from eventing.topology import Source, Topology
from linewatch.errors import SettingsError, Unavailable
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings
from linewatch.serving.health_port import HealthPort
from linewatch.settings import bind_host, load, names, number, setting, shown_url, url, whole

log = logging.getLogger(__name__)

_REPORT_S = 2.0
_LEAVE_S = 5.0
_WANTED = "the source that K_SINK takes, by its name in the manifests; none = all of them"


@dataclass(frozen=True, slots=True)
class DispatcherSettings(LogSettings):
    """What the dispatcher needs."""

    bind: str = setting("BIND", bind_host, "127.0.0.1", "the address of health and metrics")
    port: int = setting("PORT", whole(0, 65535), "0", "port of health and metrics; 0 = closed")
    sources: tuple[str, ...] = setting("SOURCE", names, "", _WANTED)
    sink: str = setting(
        "K_SINK",
        url("http", "https"),
        "",
        "where deliveries go instead of SERVICE_URL; Knative sets it",
    )
    service_url: str = setting(
        "SERVICE_URL",
        url("http", "https"),
        "http://127.0.0.1:8090/{name}",
        "where a Service answers; {name} is its name",
    )
    manifests: str = setting(
        "MANIFESTS", str, str(topology.FOLDER), "folder of the eventing manifests"
    )
    consumer: str = setting(
        "DISPATCHER",
        str,
        "",
        "its name in the consumer groups, the host's if empty: a restart under it goes on at once",
    )
    grace_s: float = setting(
        "GRACE_S",
        number(0, 600),
        "10",
        "seconds that deliveries may take after SIGTERM",
    )


def chosen(settings: DispatcherSettings, known: Topology) -> tuple[Source, ...]:
    """Return the sources to run.

    Raises:
        SettingsError: no source has that name, or K_SINK would get several.
    """
    sources = tuple(known.source(name) for name in settings.sources) or known.sources
    if settings.sink and len(sources) != 1:
        known_names = ", ".join(source.name for source in sources)
        raise SettingsError(f"K_SINK takes one source: set SOURCE to one of {known_names}")
    return sources


class Dispatcher:
    """The readers of every source it runs, and the report to the dashboard."""

    def __init__(self, settings: DispatcherSettings, known: Topology) -> None:
        self._settings = settings
        self._topology = known
        self._sources = chosen(settings, known)
        self._delivery = open_delivery(settings)
        self._log = self._delivery.log
        self._board = RedisLog.at(settings.redis_url) if settings.redis_url else None
        self._stopping = threading.Event()
        self._is_away = False
        self.meters = DispatcherMeters()
        self._workers = {source.name: self._workers_of(source) for source in self._sources}
        self._readers = [self._reader(source) for source in self._sources]

    def _reader(self, source: Source) -> Reader:
        consumer = self._settings.consumer or socket.gethostname()
        group = Group(source.topic, source.group, consumer)
        return self._delivery.make_reader(self._workers[source.name], group, self._stopping)

    def _workers_of(self, source: Source) -> DeliveryWorkers:
        self.meters.begin(source.name)
        deliverer = self._deliverer(source)
        return DeliveryWorkers(source, deliverer, self._log, self._stopping, self.meters)

    def _deliverer(self, source: Source) -> Deliverer:
        # "/": a Service is addressed at its root.
        service = self._settings.service_url.replace("{name}", source.service) + "/"
        return Deliverer(
            source,
            self._settings.sink or service,
            self._stopping,
            lambda: self.meters.count(source.name, Outcome.RETRIED),
        )

    def check(self) -> None:
        """Return if the log can be read.

        Raises:
            SettingsError: it does not let us in, or a topic is missing.
        """
        dead = {source.delivery.dead_letter_topic for source in self._sources}
        self._log.check(dead | {source.topic for source in self._sources})
        if self._board is not None:
            self._board.check(())

    def start(self) -> None:
        """Begin to dispatch, on threads of its own."""
        for source in self._sources:
            where = shown_url(self._settings.sink) or source.service
            log.info("%s: %s -> %s", source.name, source.topic, where)
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._run, name="survey", daemon=True).start()

    def stop(self) -> bool:
        """Read no more, wait for what is under way; tell whether all of it was settled."""
        self._stopping.set()
        deadline = time.monotonic() + self._settings.grace_s
        while self.in_hand and time.monotonic() < deadline:
            time.sleep(0.02)
        settled = not self.in_hand
        for reader in self._readers:
            reader.join(max(0.0, deadline + _LEAVE_S - time.monotonic()))
        return settled

    @property
    def in_hand(self) -> int:
        """How many entries are being delivered now."""
        return sum(reader.in_hand for reader in self._readers)

    @property
    def is_reading(self) -> bool:
        """Whether every source is read: none waits for the log."""
        return all(reader.is_reading for reader in self._readers)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._look_after()
            self._stopping.wait(_REPORT_S)

    def _look_after(self) -> None:
        try:
            found = self.survey()
            if self._board is not None:
                self._board.report("dispatcher", found)
            self._tell()
        except Unavailable as error:
            self._tell(error.detail)

    def _tell(self, why_away: str = "") -> None:
        """Say once that there is no report; what expires on the dashboard says it too."""
        if bool(why_away) != self._is_away:
            log.warning("dispatcher: %s", f"no report, {why_away}" if why_away else "reports again")
        self._is_away = bool(why_away)

    def survey(self) -> Mapping[str, int]:
        """Return each source's lag, dead letters and when the oldest that waits was written.

        0 is no time: nothing waits. Trims the log in Redis.

        Raises:
            Unavailable: the log is away.
        """
        found: dict[str, int] = {}
        # What trims a log must ask for all its topics, and for every group that reads them.
        whole = self._log.is_trimmed_by_lags
        known = self._topology.sources if whole else self._sources
        topics = self._topology.topics if whole else {source.topic for source in known}
        for topic in topics:
            readers = [each for each in known if each.topic == topic]
            lags = self._log.lags(topic, [source.group for source in readers])
            for source, lag in zip(readers, lags, strict=True):
                if source in self._sources:
                    dead = self._log.dead(source.dead_letters)
                    self.meters.show(source.name, lag, dead)
                    oldest_at_ms = self._workers[source.name].oldest_at_ms or 0
                    values = {"lag": lag, "dead": dead, "oldest": oldest_at_ms}
                    found |= {f"{kind}.{source.name}": each for kind, each in values.items()}
        return found


def _end(died: threading.ExceptHookArgs) -> None:
    # A thread that died of a bug would leave its source undelivered: be started anew instead.
    log.critical("dispatcher: ends, a thread died of %s", died.exc_type.__name__)
    os._exit(1)


def main(env: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    ends = {signal.SIGTERM, signal.SIGINT}
    try:
        settings = load(DispatcherSettings, env)
        dispatcher = Dispatcher(settings, topology.load(Path(settings.manifests)))
        dispatcher.check()
        # Before any thread starts: each would take them otherwise.
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        if settings.port:
            HealthPort(
                settings.bind, settings.port, dispatcher.meters.text, lambda: dispatcher.is_reading
            )
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    threading.excepthook = _end
    dispatcher.start()
    signal.sigwait(ends)
    log.info("dispatcher: stops, %d deliveries under way", dispatcher.in_hand)
    if not dispatcher.stop():
        log.warning("dispatcher: the rest is delivered after the next start")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
