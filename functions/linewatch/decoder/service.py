"""One decoder put together: everything but HTTP."""

from __future__ import annotations

import logging
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from linewatch.decoder.http.arrival import Arrival
from linewatch.decoder.http.tenants import Tenants
from linewatch.decoder.metrics import Metrics
from linewatch.decoder.outbox.relay import Relay
from linewatch.decoder.ownership.cookies import Cookies, Passes
from linewatch.decoder.ownership.forwarder import Forwarder
from linewatch.decoder.ownership.housekeeping import Facts, Housekeeping
from linewatch.decoder.ownership.live import SessionDecoder
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.road import Road
from linewatch.decoder.ownership.sessions import Sessions
from linewatch.decoder.ownership.watchdog import Watchdog
from linewatch.decoder.recognition.recognizer import Recognizers
from linewatch.decoder.settings import DecoderSettings
from linewatch.decoder.store.store import Store
from linewatch.errors import SettingsError
from linewatch.eventlog.choice import open_writer
from linewatch.eventlog.redis_writer import connect
from linewatch.events import TOPICS
from linewatch.secret_file import SecretFile
from linewatch.settings import check_bind, host_port, path, token_lines
from linewatch.tracing.spans import OFF, Tracer

log = logging.getLogger(__name__)


#: Binds that are no address to be reached by, and the family of those that are.
#: An address of IPv4 is reached at "::" too, one of IPv6 not at "0.0.0.0".
_EVERYWHERE: Final = {"": socket.AF_INET, "0.0.0.0": socket.AF_INET, "::": socket.AF_UNSPEC}  # noqa: S104 - read, not bound


def clock_ms() -> int:
    """Return the present in ms since 1970."""
    return time.time_ns() // 1_000_000


def address_of(settings: DecoderSettings) -> str:
    """Return how other pods reach this one: where it listens, or by its own host name.

    Raises:
        SettingsError: it does not.
    """
    if settings.address:
        return settings.address
    family = _EVERYWHERE.get(settings.bind)
    host = settings.bind if family is None else _own_address(family)
    return f"http://{host_port(host, settings.port)}"


def _own_address(family: socket.AddressFamily) -> str:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM)
    except OSError:
        raise SettingsError("this host's name has no address: set POD_ADDRESS") from None
    return str(found[0][4][0])


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that the HTTP edge speaks to."""

    pod_id: str
    recognizers: Recognizers
    store: Store
    sessions: Sessions
    road: Road
    tenants: Tenants
    cookies: Cookies
    passes: Passes
    metrics: Metrics
    pod: Housekeeping
    relay: Relay
    now_ms: Callable[[], int]
    start_late_ms: int

    def arrival(self) -> Arrival:
        """Return when something comes that comes now."""
        return Arrival(self.now_ms(), self.start_late_ms)

    def start(self) -> None:
        """Take the lease and begin to drain the outbox."""
        self.pod.start()
        self.relay.start()

    def stop(self) -> None:
        """Drop the leases; what is committed is every other pod's to take."""
        self.pod.stop()
        self.relay.stop()


def tenants_of(settings: DecoderSettings) -> Tenants:
    """Return who may send.

    Raises:
        SettingsError: the file of tokens cannot be read.
    """
    if not settings.tokens_file:
        return Tenants(settings.tokens)
    file = SecretFile(path(settings.tokens_file), token_lines)
    return Tenants(settings.tokens, file.value)


def build(settings: DecoderSettings, recognizers: Recognizers, tracer: Tracer = OFF) -> Service:
    """Put a decoder together; nothing runs before `Service.start`.

    Raises:
        SettingsError: it would listen to strangers without a token, or Redis does not let it in.
    """
    check_bind(settings.bind, settings.tokens, settings.tokens_file)
    client = connect(settings.redis_url)
    # A record of an unknown topic is set aside: better not to start than to set all aside.
    writer = open_writer(settings, client, TOPICS.values())
    pod_id = uuid.uuid4().hex[:12]
    metrics = Metrics()
    metrics.capacity.set(settings.capacity)
    metrics.outbox_limit.set(settings.outbox_limit)
    store = Store.from_url(settings.redis_url, pod_id)
    store.check()
    watchdog = Watchdog(settings.deadline_s)
    decoding = SessionDecoder(
        store, recognizers, metrics, watchdog, settings.decoders, tracer=tracer
    )
    sessions = Sessions(store, decoding, metrics, clock_ms, settings.keep_undecodable)
    placing = Placing(pod_id, settings.capacity, settings.outbox_limit)
    passes = Passes(settings.cookie_keys)
    forwarder = Forwarder(passes, settings.threads)
    road = Road(sessions, placing, forwarder, metrics)
    facts = Facts(address_of(settings), recognizers.digest, settings.capacity, clock_ms())
    pod = Housekeeping(
        store,
        sessions,
        placing,
        metrics,
        watchdog,
        facts=facts,
        now_ms=clock_ms,
        idle_s=settings.idle_s,
        abandon_s=settings.abandon_s,
        paused_s=settings.paused_s,
        tidy=(store.drop_idle, forwarder.drop_idle, sessions.drop_lost),
    )
    return Service(
        pod_id=pod_id,
        recognizers=recognizers,
        store=store,
        sessions=sessions,
        road=road,
        tenants=tenants_of(settings),
        cookies=Cookies(settings.cookie_keys),
        passes=passes,
        metrics=metrics,
        pod=pod,
        relay=Relay(client, writer, pod_id),
        now_ms=clock_ms,
        start_late_ms=settings.start_believed_s * 1000,
    )
