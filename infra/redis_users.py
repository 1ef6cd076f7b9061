"""Redis' users, one a role, each with the keys and commands it needs and no more.

``DECODER_PASSWORD=... python -m infra.redis_users`` writes the lines of an ACL file; a role
without a ``<ROLE>_PASSWORD`` gets no user. Put ``user default off`` first, as it does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final

from eventing import topology

_CONNECTED: Final = ("+@connection", "+multi", "+exec", "+discard", "+info")


@dataclass(frozen=True, slots=True)
class User:
    """Patterns of the keys that a role touches, and its commands."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]


_WRITES: Final = ("+@read", "+@write", "-@dangerous", "+info")
_SCRIPTS: Final = ("+eval", "+evalsha", "+script|load", "+script|exists", "+time")
#: The rest of the dashboard's view: what the decoders and the dispatcher report.
_REPORTS: Final = ("pods", "pod:*", "health:*", "outbox:*")
USERS: Final[Mapping[str, User]] = {
    # Sessions, outbox and relay; the log only where no Kafka is set.
    "decoder": User(
        (
            *(
                "s:*",
                "call:*",
                "sessions",
                "quiet",
                "clock",
                "pods",
                "pod:*",
                "partial:*",
                "decode:*",
                "dead:audio:*",
            ),
            *("outbox:*", "logs", "log:*"),
        ),
        (*_WRITES, *_SCRIPTS),
    ),
    # Delivery and the sink: the log and their own health.
    "dispatcher": User(("logs", "log:*", "health:*"), (*_WRITES, *_SCRIPTS)),
    "board": User(("board:*",), (*_WRITES, *_SCRIPTS)),
    # Reads the board, words being spoken and health; writes nothing.
    "dashboard": User(
        ("board:*", "partial:*", *_REPORTS), ("+@read", "-@dangerous", "+info", "+time")
    ),
}


@cache
def users() -> dict[str, User]:
    """Return every role's user; a function that is not named above owns the keys of its name."""
    functions = topology.load().functions
    return {**{name: User((f"{name}:*",), (*_WRITES, *_SCRIPTS)) for name in functions}, **USERS}


def line(role: str, password: str) -> str:
    """Return the ACL line of *role*, with the password's hash in it."""
    user = users()[role]
    digest = sha256(password.encode()).hexdigest()
    rules = [*(f"~{pattern}" for pattern in user.keys), "-@all", *_CONNECTED, *user.commands]
    return " ".join(["user", role, "on", f"#{digest}", *rules, "-keys", "-scan", "-randomkey"])


def file(passwords: Mapping[str, str]) -> str:
    """Return an ACL file of the roles in *passwords*; nobody else is let in."""
    return "\n".join(["user default off", *(line(*each) for each in passwords.items()), ""])


def main(env: Mapping[str, str]) -> int:
    """Write the file of every role whose password is set."""
    known = users()
    found = {role: env.get(f"{role.upper()}_PASSWORD", "") for role in known}
    passwords = {role: password for role, password in found.items() if password}
    if not passwords:
        names = ", ".join(f"{role.upper()}_PASSWORD" for role in known)
        sys.stderr.write(f"set a password for each role that needs a user: {names}\n")
        return 2
    sys.stdout.write(file(passwords))
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
