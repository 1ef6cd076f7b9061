"""The processes of Linewatch on one machine: their settings, and in which order they start."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from eventing import topology
from infra.launcher import probes, redis_server
from infra.launcher.process import Role
from linewatch import keys
from linewatch.gateway.settings import GatewaySettings
from linewatch.serving.function_lookup import settings_of
from linewatch.settings import load

ROOT: Final = Path(__file__).resolve().parents[2]
#: A shell may hold these for other programs: the launcher sets them for each role, or removes them.
_DROPPED: Final = frozenset(
    (
        "PYTHONDONTWRITEBYTECODE",
        "LINES",
        "HOST",
        "BIND",
        "PORT",
        "K_SINK",
        "REPLY",
        "SOURCE",
        "FUNCTIONS",
    )
)
#: Which log it is, is the launcher's to say: nothing of Kafka's may leak into a run on Redis.
_KAFKAS: Final = ("KAFKA_", "SSL_CERT_PATH")
#: At four fifths of it decoders take no new calls.
_REDIS_MEMORY: Final = "1gb"
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each role listens on loopback."""

    decoders: tuple[int, ...]
    activator: int
    sink: int
    dashboard: int


@dataclass(frozen=True, slots=True)
class Site:
    """One run on one machine: all that the settings of the roles come from."""

    ports: Ports
    redis_url: str
    model: Path
    cookie_key: str
    lines: int
    environment: Mapping[str, str]
    decoder_environment: Mapping[str, str]
    #: Kafka's addresses; none = the log is in Redis.
    brokers: str = ""
    #: What stands before each path of the dashboard: "" or /PATH.
    dashboard_path: str = ""

    @property
    def dashboard_url(self) -> str:
        """The dashboard's address on this machine."""
        return f"http://127.0.0.1:{self.ports.dashboard}{self.dashboard_path}"

    def role(self, name: str, *command: str, probe: probes.Probe, **settings: object) -> Role:
        """Make the role of a Python module or program run by this interpreter."""
        return Role(
            name=name,
            command=(sys.executable, "-m", *command),
            env=self._environment_with(settings),
            is_ready=probe,
            folder=ROOT,
        )

    def _environment_with(self, settings: Mapping[str, object]) -> dict[str, str]:
        kept = _kept(self.environment)
        if not self.brokers:
            kept = {name: kept[name] for name in kept if not name.startswith(_KAFKAS)}
        return {
            **kept,
            **({"KAFKA_BROKERS": self.brokers} if self.brokers else {}),
            **_ONE_THREAD,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "functions"), str(ROOT))),
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": self.redis_url,
            **{name: str(value) for name, value in settings.items()},
        }


def check(environment: Mapping[str, str]) -> None:
    """Read what only processes that start later would read, and so refuse too late.

    Raises:
        SettingsError: a setting of the functions or of the simulated lines is wrong.
    """
    for kind in (*map(settings_of, _functions(environment)), GatewaySettings):
        load(kind, _kept(environment))


def _functions(environment: Mapping[str, str]) -> tuple[str, ...]:
    return topology.load(Path(environment.get("MANIFESTS", topology.FOLDER))).functions


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _DROPPED}


def redis(port: int, folder: Path, held: int) -> Role:
    """A Redis of our own that writes to *folder* and keeps its lock *held*."""
    return Role(
        name="redis",
        command=(
            *redis_server.command(port, folder, memory=_REDIS_MEMORY),
            *("--loglevel", "warning"),
        ),
        is_ready=probes.redis_serves(f"redis://127.0.0.1:{port}/0"),
        pass_fds=(held,),
    )


def stages(site: Site) -> tuple[tuple[Role, ...], ...]:
    """Return the roles beside Redis, in the order they start: the next stage needs the last."""
    served = (*_decoders(site), _sink(site), _activator(site), _dashboard(site))
    callers = (_simulator(site),) if site.lines else ()
    before = ((_topics(site),),) if site.brokers else ()
    return (*before, served, (_dispatcher(site),), callers)


def _topics(site: Site) -> Role:
    return replace(site.role("topics", "eventing.topics", probe=lambda: True), ends=True)


def _decoders(site: Site) -> tuple[Role, ...]:
    return tuple(
        site.role(
            f"decoder-{number}",
            *("gunicorn", "-c", "functions/linewatch/decoder/gunicorn.conf.py"),
            "linewatch.decoder.app:create()",
            probe=probes.answers(port, "/health/readiness"),
            PORT=port,
            VOSK_MODEL_PATH=site.model,
            COOKIE_KEYS=site.environment.get("COOKIE_KEYS") or site.cookie_key,
            **site.decoder_environment,
        )
        for number, port in enumerate(site.ports.decoders, start=1)
    )


def _sink(site: Site) -> Role:
    port = site.ports.sink
    probe = probes.answers(port, "/health/readiness")
    return site.role("sink", "eventing.sink", probe=probe, PORT=port)


def _activator(site: Site) -> Role:
    port, sink = site.ports.activator, f"http://127.0.0.1:{site.ports.sink}"
    return site.role(
        "activator",
        "eventing.activator",
        probe=probes.answers(port, "/health/readiness"),
        PORT=port,
        SINK_URL=sink,
    )


def _dispatcher(site: Site) -> Role:
    return site.role(
        "dispatcher",
        "eventing.dispatcher",
        probe=probes.redis_has(site.redis_url, keys.health("dispatcher")),
        SERVICE_URL=f"http://127.0.0.1:{site.ports.activator}/{{name}}",
    )


def _dashboard(site: Site) -> Role:
    role = site.role(
        "dashboard",
        "streamlit_app",
        *(f"--server.port={site.ports.dashboard}", "--server.address=127.0.0.1"),
        probe=probes.answers(site.ports.dashboard, f"{site.dashboard_path}/_stcore/health"),
        STREAMLIT_SERVER_BASE_URL_PATH=site.dashboard_path,
    )
    # Streamlit prints as it stops, and stays for ever when nobody is left to read that.
    return replace(role, orphan_signal=signal.SIGKILL)


def _simulator(site: Site) -> Role:
    return site.role(
        "simulator",
        "linewatch.gateway",
        probe=lambda: True,
        HOST=",".join(f"http://127.0.0.1:{port}" for port in site.ports.decoders),
        DO_SIMULATE="true",
        LINES=site.lines,
    )
