"""A whole decoder on a fake recognizer that can be stopped, unfenced and starved of its store.

For gunicorn: ``tests.chaos.app:create()``. The switches stand in the environment:
``CHAOS_FOLDER`` (see `points`), ``CHAOS_DIGEST``, ``CHAOS_UNFENCED`` (the negative
control), ``CHAOS_FAULTS`` (see `starving`), ``CHAOS_READ_S``, ``CHAOS_WORK_S``,
``CHAOS_SKEW_S``, ``CHAOS_VERSION``, ``CHAOS_REAL`` (the real recognizer). What ships has
none of them.
"""

from __future__ import annotations

import os
import random

from redis.exceptions import RedisError

from linewatch import keys
from linewatch.decoder import service
from linewatch.decoder.app import app_of
from linewatch.decoder.outbox import relay
from linewatch.decoder.ownership import forwarder
from linewatch.decoder.recognition import recognizer
from linewatch.decoder.settings import DecoderSettings
from linewatch.decoder.store import store as stores
from linewatch.decoder.store.answers import Committed
from linewatch.errors import StoreUnavailable
from linewatch.settings import load
from tests.chaos import unfenced
from tests.chaos.points import Points
from tests.chaos.starving import Starving
from tests.support.fakes import HashRecognizers


def _starving(client, whose):
    """Return *client*, or one that fails as ``CHAOS_FAULTS`` says."""
    rates = os.environ.get("CHAOS_FAULTS")
    if not rates:
        return client
    seed = f"{os.environ['CHAOS_SEED']}/{whose}"
    return Starving(client, random.Random(seed), *map(float, rates.split(",")))


class _Store(stores.Store):
    """A store with points before and after its writes."""

    points: Points

    def __init__(self, client, pod):
        starving = _starving(client, "store")
        super().__init__(client, pod)
        self._redis = starving
        self._fated = getattr(starving, "fated", lambda run: run())
        if os.environ.get("CHAOS_UNFENCED"):
            for name in unfenced.NAMES:
                self._scripts.known[name] = client.register_script(unfenced.script(name))

    def _run(self, script, names, *arguments):
        # Scripts pass the client by, on a connection that each thread keeps.
        try:
            return self._fated(lambda: super(_Store, self)._run(script, names, *arguments))
        except RedisError as error:
            raise StoreUnavailable("injected: Redis does not answer") from error

    def commit(self, key, epoch, step, **options):
        """See `Store`."""
        self.points.reach("before-commit", keys.member(key))
        receipt = super().commit(key, epoch, step, **options)
        if receipt.state is Committed.MOVED:
            self.points.rejected("commit")
        if receipt.state is Committed.ACCEPTED:
            self.points.reach("committed", keys.member(key))
        return receipt

    def pass_edge(self, key, epoch, edge, end_reason="", **options):
        """See `Store`."""
        self.points.reach("decoded", keys.member(key))
        ours = super().pass_edge(key, epoch, edge, end_reason, **options)
        if not ours:
            self.points.rejected("edge")
        return ours


class _Leases(relay.Leases):
    points: Points

    def drop(self, partition):
        """See `Leases`: the deletion was turned away."""
        self.points.rejected("relay")
        super().drop(partition)


class _Writer:
    """A log writer that can be stopped between the log's acknowledgement and the deletion."""

    def __init__(self, writer, fated, points):
        self._writer = writer
        self._fated = fated
        self._points = points

    def publish(self, records):
        """See `LogWriter`."""
        self._fated(lambda: self._writer.publish(records))
        if records:
            self._points.reach("relay", records[0].key)


def _relay_with(points):
    made = service.Relay

    def relay_of(client, writer, *rest):
        client = _starving(client, "relay")
        fated = getattr(client, "fated", lambda run: run())
        return made(client, _Writer(writer, fated, points), *rest)

    return relay_of


def _version():
    """Let this decoder be of older or newer code."""
    version = os.environ.get("CHAOS_VERSION")
    if version:
        stores.VERSION = int(version)


def _recognizers(told):
    if os.environ.get("CHAOS_REAL"):
        return recognizer.load(told.model_path)
    work_s = float(os.environ.get("CHAOS_WORK_S", "0"))
    return HashRecognizers(os.environ.get("CHAOS_DIGEST", "fake"), work_s)


def create():
    """See `linewatch.decoder.app.create`."""
    points = Points(os.environ["CHAOS_FOLDER"])
    _Store.points = _Leases.points = points
    service.Store, relay.Leases = _Store, _Leases
    service.Relay = _relay_with(points)
    forwarder.READ_S = float(os.environ.get("CHAOS_READ_S", forwarder.READ_S))
    skew_ms = round(1000 * float(os.environ.get("CHAOS_SKEW_S", "0")))
    clock_ms = service.clock_ms
    service.clock_ms = lambda: clock_ms() + skew_ms
    _version()
    told = load(DecoderSettings, os.environ)
    built = service.build(told, _recognizers(told))
    built.start()
    app = app_of(built)

    answered = app.wsgi_app

    def stopped_before_reply(environ, start_response):
        told = []

        def begin(status, *rest):
            told.append(status)
            return start_response(status, *rest)

        body = answered(environ, begin)
        path = environ["PATH_INFO"]
        if path.endswith("/audio") and told[0].startswith("200"):
            _, _, _, call, _, channel, _ = path.split("/")
            points.reach("before-reply", f"default|{call}|{channel}")
        return body

    app.wsgi_app = stopped_before_reply
    return app
