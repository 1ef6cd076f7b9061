"""Linewatch on one machine: ``python -m infra.local`` starts it, Ctrl-C stops it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from infra.launcher import ports, redis_server, roles, state
from infra.launcher.console import Console
from infra.launcher.process import WRONG_SETTING, Role, Say
from infra.launcher.supervisor import StartFailed, StopSignals, Supervisor
from infra.model import preparation
from linewatch.errors import SettingsError
from linewatch.settings import load, one_of, path, setting, shown_url, url, whole

_PORTS: Final = whole(1, 65_535)
_PATH: Final = re.compile(r"(?:[\w.~-]+(?:/[\w.~-]+)*)?", re.ASCII)
_BROKERS: Final = "127.0.0.1:9092"
_INTERRUPTED: Final = 130


def _base_path(raw: str) -> str:
    """Return *raw* with a slash in front and none at its end, as Streamlit reads it; "" is /."""
    path = raw.strip("/")
    if not _PATH.fullmatch(path):
        raise ValueError("use letters, digits and . _ ~ - between slashes")
    return f"/{path}" if path else ""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What one may change of a run on one machine."""

    lines: int = setting("LINES", whole(0, 500), "8", "how many simulated lines play calls")
    decoders: int = setting("DECODERS", whole(1, 16), "2", "how many decoder processes run")
    redis_url: str = setting(
        "REDIS_URL",
        url("redis", "rediss", "unix"),
        "",
        "your own Redis; empty = the launcher starts one",
    )
    log: str = setting("LOG", one_of("redis", "kafka"), "redis", "where the event log is")
    kafka_brokers: str = setting("KAFKA_BROKERS", str, "", "Kafka's addresses, for LOG=kafka")
    state_dir: Path = setting(
        "STATE_DIR", path, ".linewatch", "folder of the data that a run leaves for the next"
    )
    decoder_port: int = setting("DECODER_PORT", _PORTS, "8081", "the first decoder's port")
    activator_port: int = setting("ACTIVATOR_PORT", _PORTS, "8090", "the activator's port")
    sink_port: int = setting("SINK_PORT", _PORTS, "8091", "the sink's port")
    dashboard_port: int = setting("DASHBOARD_PORT", _PORTS, "8501", "the dashboard's port")
    dashboard_path: str = setting(
        "STREAMLIT_SERVER_BASE_URL_PATH",
        _base_path,
        "",
        "the path that the dashboard's address ends with, as behind a reverse proxy: /board",
    )


def choose_ports(settings: LocalSettings, env: Mapping[str, str], say: Say) -> roles.Ports:
    """Give each role a port: the usual one, or a free one where that is taken.

    Raises:
        SettingsError: a port named in *env* is taken.
    """
    given: list[int] = []

    def choose(wanted: int, what: str, name: str) -> int:
        demanded_by = name if env.get(name) else ""
        port = ports.choose(wanted, given, demanded_by=demanded_by)
        if port != wanted:
            say("linewatch", f"port {wanted} is taken: {what} listens on {port}")
        given.append(port)
        return port

    return roles.Ports(
        decoders=tuple(
            choose(settings.decoder_port + number, f"decoder-{number + 1}", "DECODER_PORT")
            for number in range(settings.decoders)
        ),
        activator=choose(settings.activator_port, "the activator", "ACTIVATOR_PORT"),
        sink=choose(settings.sink_port, "the sink", "SINK_PORT"),
        dashboard=choose(settings.dashboard_port, "the dashboard", "DASHBOARD_PORT"),
    )


def site_of(settings: LocalSettings, folder: Path, env: Mapping[str, str], say: Say) -> roles.Site:
    """Find out all that the roles need; *folder* is what one run leaves the next.

    Raises:
        SettingsError: the model is not there, or a port that was asked for is taken.
    """
    prepared = preparation.prepare()
    return roles.Site(
        ports=choose_ports(settings, env, say),
        redis_url=settings.redis_url or f"redis://127.0.0.1:{redis_server.free_port()}/0",
        model=prepared,
        cookie_key=state.cookie_key(folder),
        lines=settings.lines,
        environment=env,
        decoder_environment=preparation.decoder_env(),
        dashboard_path=settings.dashboard_path,
        brokers=(settings.kafka_brokers or _BROKERS) if settings.log == "kafka" else "",
    )


def redis_stage(settings: LocalSettings, folder: Path, site: roles.Site) -> tuple[Role, ...]:
    """Return the Redis of our own, with nobody else in its *folder*; none where one is given.

    Raises:
        SettingsError: another launcher uses the folder.
    """
    if settings.redis_url:
        return ()
    held = state.lock(folder)
    port = urlsplit(site.redis_url).port or 0
    return (roles.redis(port, folder / "redis", held),)


def run(env: Mapping[str, str], console: Console) -> None:
    """Start everything, say where the dashboard is, and keep it running until asked to stop.

    Raises:
        SettingsError: a setting is wrong; nothing was started.
        StartFailed: a process did not start; everything was stopped again.
    """
    begun_s = time.monotonic()
    settings = load(LocalSettings, env)
    roles.check(env)
    folder = state.open_folder(roles.ROOT / settings.state_dir)
    site = site_of(settings, folder, env, console.say)
    stages = (redis_stage(settings, folder, site), *roles.stages(site))
    stop = StopSignals()
    stop.install()

    def ready() -> None:
        if not settings.redis_url:
            redis_server.keep_rewriting(site.redis_url)
        events = f", events in KAFKA_BROKERS={site.brokers}" if site.brokers else ""
        console.say(
            "linewatch", f"everything is kept in REDIS_URL={shown_url(site.redis_url)}{events}"
        )
        took_s = time.monotonic() - begun_s
        console.say("linewatch", f"ready in {took_s:.1f} s, Ctrl-C stops it: {site.dashboard_url}")

    Supervisor(stages, console.say, stop).run(ready)
    console.say("linewatch", "stopped")


def main() -> int:
    """Run until Ctrl-C; a start that cannot work says why in one line."""
    console = Console()
    try:
        run(os.environ, console)
    except SettingsError as error:
        sys.stderr.write(f"Linewatch cannot start: {error.detail}\n")
        return WRONG_SETTING
    except StartFailed as error:
        sys.stderr.write(f"Linewatch cannot run: {error.detail}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
