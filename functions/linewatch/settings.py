"""Settings from the environment, frozen; a wrong one stops the start with a clear line.

A role states its settings as one frozen dataclass whose fields are made by
`setting`; `load` reads them all and names everything that is wrong at once.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from linewatch.errors import BadName, SettingsError
from linewatch.names import checked_name

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
S = TypeVar("S")
#: gunicorn's status for a worker whose application cannot be loaded.
BOOT_FAILED: Final = 4
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off", ""}
_PORT_END: Final = 1 << 16


def setting(name: str, parse: Callable[[str], Any], default: str | None, meaning: str) -> Any:  # noqa: ANN401 - a field's default has the field's type
    """Declare a field read from environment variable *name*; no default = it must be set."""
    metadata = {"name": name, "parse": parse, "default": default, "meaning": meaning}
    return dataclasses.field(metadata=metadata)


def load(kind: type[S], env: Mapping[str, str]) -> S:
    """Read settings of *kind* from *env*.

    Raises:
        SettingsError: names every variable that is missing or wrong.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        name, default = each.metadata["name"], each.metadata["default"]
        raw = env.get(name, default)
        if raw is None:
            wrong.append(f"{name} must be set: {each.metadata['meaning']}")
            continue
        try:
            values[each.name] = each.metadata["parse"](raw)
        except ValueError as error:
            # Without the value: whatever was set here may be a secret, or hold one.
            wrong.append(f"{name}: {error} ({each.metadata['meaning']})")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return kind(**values)


def load_or_exit(kind: type[S], env: Mapping[str, str], role: str) -> S:
    """Read settings of *kind*, or end the process as `exits_on_wrong` does."""
    with exits_on_wrong(role):
        return load(kind, env)


@contextmanager
def exits_on_wrong(role: str) -> Iterator[None]:
    """End the process with one line on stderr where the block finds a setting wrong.

    gunicorn starts a worker again that ends with any other status than this one.
    """
    try:
        yield
    except SettingsError as error:
        sys.stderr.write(f"{role}: {error.detail}\n")
        raise SystemExit(BOOT_FAILED) from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Make a parser of whole numbers from *low* to *high*."""

    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError(f"must be a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}")
        return number

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Make a parser of numbers from *low* to *high*."""

    def parse(raw: str) -> float:
        try:
            found = float(raw)
        except ValueError:
            raise ValueError(f"must be a number from {low:g} to {high:g}") from None
        if not low <= found <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return found

    return parse


def flag(raw: str) -> bool:
    """Parse yes or no."""
    if raw.lower() in _TRUE:
        return True
    if raw.lower() in _FALSE:
        return False
    raise ValueError("use true or false")


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a parser that takes only *choices*."""

    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return raw

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """Make a parser of URLs of *schemes*; an empty string stays empty."""

    def parse(raw: str) -> str:
        if raw and not raw.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
        if raw and not raw.startswith("unix://"):
            _check_host(raw)
        return raw.rstrip("/")

    return parse


def shown_url(url: str) -> str:
    """Return *url* for a log: without who logs in, and without its query, which may be a token."""
    scheme, slashes, rest = url.partition("://")
    place, *query = re.split(r"[?#]", rest, maxsplit=1)
    if "@" in "".join(query):
        # Either may hold the secret: a password that was not percent-encoded, or the query.
        return f"{scheme}{slashes}..."
    return f"{scheme}{slashes}{place.rpartition('@')[2]}"


def _check_host(raw: str) -> None:
    try:
        parts = urlsplit(raw)
        is_right = bool(parts.hostname) and parts.port != 0
    except ValueError:  # Its words may quote a password.
        is_right = False
    if not is_right:
        raise ValueError("must name a host, and a port from 1 to 65535 where it names one")


def names(raw: str) -> tuple[str, ...]:
    """Parse a comma-separated list."""
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def consumer(raw: str) -> str:
    """Parse the name of one that scores: it stands in the ids of its events."""
    try:
        return checked_name("consumer", raw)
    except BadName as error:
        raise ValueError(error.rule) from None


def consumers(raw: str) -> tuple[str, ...]:
    """Parse a comma-separated list of `consumer` names."""
    return tuple(consumer(part) for part in names(raw))


def some_names(raw: str) -> tuple[str, ...]:
    """Parse a comma-separated list that may not be empty."""
    found = names(raw)
    if not found:
        raise ValueError("give at least one, comma-separated")
    return found


def tokens(raw: str) -> Mapping[str, str]:
    """Parse ``tenant=sha256-of-token`` pairs, comma-separated, into hash -> tenant."""
    found: dict[str, str] = {}
    for pair in names(raw):
        tenant, _, digest = pair.partition("=")
        if not _TENANT.fullmatch(tenant) or not _SHA256.fullmatch(digest):
            raise ValueError("use tenant=<sha256 of the token in hex>, comma-separated")
        found[digest] = tenant
    return found


def token_digest(token: str) -> str:
    """Return what stands in the settings for *token*."""
    return sha256(token.encode()).hexdigest()


def is_loopback(host: str) -> bool:
    """Tell whether *host* can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind_host(raw: str) -> str:
    """Parse an address or a name to listen on; one of IPv6 may stand in brackets."""
    found = raw.strip()
    if found.startswith("[") and found.endswith("]"):
        found = found[1:-1]
    if set("[]:") & set(found):
        try:
            ipaddress.IPv6Address(found)
        except ValueError:
            raise ValueError("use an address or a name, without a port") from None
    return found


def host_port(host: str, port: int) -> str:
    """Return *host* and *port* as they stand in a URL: an address of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def path(raw: str) -> Path:
    """Parse a path; ``~`` is the home folder."""
    return Path(raw).expanduser()


def addresses(raw: str) -> tuple[str, ...]:
    """Parse ``host:port`` pairs, comma-separated; an address of IPv6 in brackets."""
    found = names(raw)
    for each in found:
        name, _, port = each.rpartition(":")
        if not _is_host(name) or not port.isdecimal() or not 0 < int(port) < _PORT_END:
            raise ValueError("use host:port, comma-separated, with IPv6 as [address]:port")
    return found


def _is_host(name: str) -> bool:
    if set("@/") & set(name):
        return False
    try:
        return bool(bind_host(name)) and (":" not in name or name.startswith("["))
    except ValueError:
        return False


def file(raw: str) -> str:
    """Parse a path at which a file can be read; an empty string stays empty."""
    if raw:
        try:
            path(raw).open("rb").close()
        except OSError as error:
            raise ValueError(f"cannot be read, {error.strerror}") from None
    return raw


REDIS_URL: Final = "redis://127.0.0.1:6379/0"


def token_lines(raw: str) -> Mapping[str, str]:
    """Parse a file of `tokens`, one a line or several; at least one.

    Raises:
        ValueError: a pair is none, or there is none.
    """
    found = tokens(",".join(raw.split()))
    if not found:
        raise ValueError("the file must hold at least one tenant=<sha256 of the token>")
    return found


def secret_line(raw: str) -> str:
    """Parse a file that holds one token.

    Raises:
        ValueError: it holds none, or something no header can carry.
    """
    token = header_token(raw)
    if not token:
        raise ValueError("the file must hold exactly one token")
    return token


def header_token(raw: str) -> str:
    """Parse one token; an empty string stays empty.

    Raises:
        ValueError: no header can carry it: the HTTP client's own words would quote it.
    """
    token = raw.strip()
    if not token.isascii() or not token.isprintable():
        raise ValueError("must hold exactly one token, of printable ASCII")
    return token


def check_bind(bind: str, tokens: Mapping[str, str], tokens_file: str = "") -> None:
    """Refuse to listen beyond this machine without tokens.

    Raises:
        SettingsError: says what to set.
    """
    if not tokens and not tokens_file and not is_loopback(bind):
        raise SettingsError(
            "BIND is reachable from other machines: set TOKENS=tenant=<sha256>, "
            "or bind to 127.0.0.1"
        )
