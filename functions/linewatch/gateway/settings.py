"""What a line and the simulator are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from linewatch.errors import BadName, LinewatchError
from linewatch.names import checked_label, checked_name
from linewatch.settings import (
    bind_host,
    file,
    flag,
    header_token,
    names,
    number,
    path,
    setting,
    url,
    whole,
)


def _hosts(raw: str) -> tuple[str, ...]:
    parse = url("http", "https")
    found = tuple(parse(each) for each in names(raw))
    if not found:
        raise ValueError("give at least one decoder's URL")
    return found


def _name(kind: str) -> Callable[[str], str]:
    """Make a parser of names of *kind*; an empty one stays empty."""

    def parse(raw: str) -> str:
        try:
            return checked_name(kind, raw) if raw else raw
        except BadName as error:
            raise ValueError(error.rule) from None

    return parse


def _line(raw: str) -> str:
    try:
        return checked_label("line", raw)
    except LinewatchError:
        raise ValueError("use up to 128 characters that can be shown") from None


def _folder(raw: str) -> Path:
    found = path(raw)
    if not found.is_dir():
        raise ValueError("the folder does not exist: give an existing one")
    return found


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What a line and the simulator need."""

    hosts: tuple[str, ...] = setting(
        "HOST", _hosts, "http://127.0.0.1:8080", "decoders, comma-separated base URLs"
    )
    simulate: bool = setting("DO_SIMULATE", flag, "false", "play random calls for ever")
    lines: int = setting("LINES", whole(1, 1000), "8", "how many lines are simulated")
    line_prefix: str = setting(
        "LINE_PREFIX", _line, "", "prefix of the line names, such as the pod's name"
    )
    token: str = setting("TOKEN", header_token, "", "bearer token of the tenant")
    token_file: str = setting(
        "TOKEN_FILE", file, "", "the token in a file that is read again when it changes"
    )
    tenant: str = setting(
        "TENANT", _name("tenant"), "", "the token's tenant, if it is to be sent along"
    )
    calls_dir: Path = setting(
        "CALLS_DIR", _folder, "infra/recordings", "folder of the recorded calls"
    )
    chunk_ms: int = setting("CHUNK_MS", whole(20, 4000), "250", "milliseconds of audio per request")
    hold_share: float = setting(
        "HOLD", number(0, 0.9), "0.5", "share of a simulated line's time that is hold"
    )
    bind: str = setting("BIND", bind_host, "127.0.0.1", "address of the health and metrics port")
    port: int = setting("PORT", whole(0, 65535), "0", "port of health and metrics; 0 = closed")
