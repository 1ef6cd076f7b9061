"""The activator: functions that have no process until somebody asks for them.

``python -m eventing.activator``. ``/{function}/...`` is passed on to the function's
gunicorn process, which is started by the first request and ended when idle.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import urllib3
from flask import Flask, Response, request

from eventing import topology
from eventing.replica import Replica
from eventing.topology import Topology
from linewatch import settings
from linewatch.errors import NotFound, SettingsError, Unavailable
from linewatch.eventlog.redis import RedisLog
from linewatch.sending.connections import connection_pool
from linewatch.serving.function_lookup import app_of
from linewatch.serving.problems import answer_problems
from linewatch.serving.server import Server, log_to_stderr
from linewatch.settings import setting

log = logging.getLogger(__name__)

_MOST_BYTES = 8 * 1024 * 1024
#: More than all sources of the manifests may have under way at once.
_THREADS = 160
_REPORT_S = 1.0
_ANSWER_S = 60.0
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# Our server writes its own.
_SERVERS_OWN = frozenset(("date", "server"))


def pairs(raw: str) -> Mapping[str, str]:
    """Parse ``name=value`` pairs, comma-separated.

    Raises:
        ValueError: a part is no pair, or names what is the activator's own.
    """
    found: dict[str, str] = {}
    for pair in settings.names(raw):
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or not value or name == "health":
            raise ValueError("use name=value, comma-separated; the name health is reserved")
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class ActivatorSettings:
    """What the activator needs."""

    host: str = setting("BIND", settings.bind_host, "127.0.0.1", "the address to listen on")
    port: int = setting("PORT", settings.whole(1, 65535), "8090", "the port to listen on")
    redis_url: str = setting(
        "REDIS_URL",
        settings.url("redis", "rediss", "unix"),
        settings.REDIS_URL,
        "where replicas and cold starts are reported",
    )
    manifests: Path = setting(
        "MANIFESTS", settings.path, str(topology.FOLDER), "folder of the eventing manifests"
    )
    functions: Mapping[str, str] = setting(
        "FUNCTIONS", pairs, "", "what gunicorn serves, by name; none = what the manifests name"
    )
    sink_url: str = setting(
        "SINK_URL", settings.url("http"), "", "the local sink, with a path for each KafkaSink"
    )
    idle_window_s: float = setting(
        "IDLE_WINDOW_S",
        settings.number(0.1, 86400),
        "30",
        "seconds without a request after which a function is stopped",
    )


class Activator:
    """The replicas of all functions, and what the dashboard shows of them."""

    def __init__(
        self,
        chosen: ActivatorSettings,
        known: Topology,
        env: Mapping[str, str],
        event_log: RedisLog,
    ) -> None:
        self._settings = chosen
        self._known = known
        self.functions = chosen.functions or {name: app_of(name) for name in known.functions}
        self._env = env
        self._log = event_log
        self._replicas: dict[str, Replica] = {}
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._reporter = threading.Thread(target=self._report, name="report", daemon=True)

    def start(self) -> None:
        """Make the functions known and begin to report; no process is started yet."""
        for name, target in self.functions.items():
            self._replicas[name] = Replica(
                name,
                target,
                {**self._env, **self._sink_of(name)},
                idle_window_s=self._settings.idle_window_s,
                on_change=self._changed.set,
                on_end=partial(self._hang_up, name),
            )
        self._reporter.start()

    def _sink_of(self, name: str) -> dict[str, str]:
        """Return what a SinkBinding would set for function *name*."""
        sink = self._known.bindings.get(name)
        is_bound = sink and self._settings.sink_url
        return {"K_SINK": f"{self._settings.sink_url}/{sink}"} if is_bound else {}

    def close(self) -> None:
        """End all processes."""
        for replica in self._replicas.values():
            replica.close()
        self._closing.set()
        self._changed.set()
        self._reporter.join(2)

    def replica(self, name: str) -> Replica:
        """Return the replica of function *name*.

        Raises:
            NotFound: there is no such function.
        """
        if name not in self._replicas:
            known = ", ".join(sorted(self._replicas))
            raise NotFound(f"there is no function {name[:80]!r}: use {known}")
        return self._replicas[name]

    def counts(self) -> dict[str, int]:
        """Return processes and cold starts of each function, as the dashboard reads them."""
        found: dict[str, int] = {}
        for name, replica in self._replicas.items():
            found[f"{name}.replicas"] = replica.replicas
            found[f"{name}.cold_starts"] = replica.cold_starts
        return found

    def pool(self, name: str, port: int) -> urllib3.HTTPConnectionPool:
        """Return the kept connections to the process of function *name* on *port*."""
        pool = self._pools.get(name)
        if pool is None or pool.port != port:
            timeout = urllib3.Timeout(connect=2, read=_ANSWER_S)
            pool = connection_pool(f"http://127.0.0.1:{port}", timeout, _THREADS)
            self._pools[name] = pool
        return pool

    def _hang_up(self, name: str) -> None:
        pool = self._pools.pop(name, None)
        if pool is not None:
            pool.close()

    def _report(self) -> None:
        away = False
        while not self._closing.is_set():
            try:
                self._log.report("functions", self.counts())
                away = False
            except Unavailable as error:
                if not away:
                    log.warning("activator: no report, %s", error.detail)
                away = True
            self._changed.wait(_REPORT_S)
            self._changed.clear()


def create(activator: Activator) -> Flask:
    """Return the app that passes requests on to *activator*'s replicas."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES

    @app.get("/health/liveness")
    @app.get("/health/readiness")
    def _alive() -> tuple[str, int]:
        return "", HTTPStatus.NO_CONTENT

    @app.route("/<name>/", defaults={"path": ""}, methods=_METHODS)
    @app.route("/<name>/<path:path>", methods=_METHODS)
    def _pass_on(name: str, path: str) -> Response:
        replica = activator.replica(name)
        body = request.get_data()
        port = replica.acquire()
        try:
            return _forward(activator.pool(name, port), path, body)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{name} gave no answer: send it again") from error
        finally:
            replica.release()

    answer_problems(app)
    return app


def _forward(pool: urllib3.HTTPConnectionPool, path: str, body: bytes) -> Response:
    query = request.query_string.decode("latin-1")
    url = f"/{quote(path)}?{query}" if query else f"/{quote(path)}"
    headers = {n: text for n, text in request.headers if n.lower() not in _HOP_BY_HOP}
    answer = pool.urlopen(
        request.method,
        url,
        body=body,
        headers=headers,
        redirect=False,
        retries=False,
        decode_content=False,
    )
    dropped = _HOP_BY_HOP | _SERVERS_OWN
    kept = [(n, text) for n, text in answer.headers.items() if n.lower() not in dropped]
    return Response(answer.data, answer.status, kept)


def main(env: Mapping[str, str]) -> int:
    """Serve until SIGTERM; return the exit status if nothing was started."""
    log_to_stderr()
    try:
        chosen = settings.load(ActivatorSettings, env)
        known = topology.load(chosen.manifests)
        event_log = RedisLog.at(chosen.redis_url)
        event_log.check(())
    except SettingsError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    activator = Activator(chosen, known, env, event_log)

    def begin() -> Flask:
        # In gunicorn's worker: threads and children made before the fork would not be its own.
        activator.start()
        return create(activator)

    log.info("activator: %s on port %d", ", ".join(activator.functions), chosen.port)
    Server(begin, settings.host_port(chosen.host, chosen.port), _THREADS, activator.close).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
