"""What the command line says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.deploy.overlay import Changes

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_WHAT: Final = """\
Brings Linewatch onto the cluster of kubectl's current context, waits until all of it is Ready and
starts the simulated lines last. It may be run again at any time."""


@dataclass(frozen=True)
class Options:
    """The command line, read."""

    overlay: str
    changes: Changes
    dry_run: bool
    delete: bool
    force: bool
    timeout_s: int


def read(arguments: Sequence[str]) -> Options:
    """Return the options; a wrong command line ends the program with one line and status 2."""
    args = _parser().parse_args(arguments)
    changes = Changes(image=args.image, brokers=args.brokers)
    return Options(
        args.overlay,
        changes,
        args.dry_run,
        args.delete,
        args.force,
        timeout_s=args.timeout,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("infra/deploy.sh", description=_WHAT)
    parser.add_argument("overlay", help="dev, broker, prod or a kustomization's folder")
    parser.add_argument("--image", default="", metavar="NAME[:TAG|@DIGEST]", help="what all run")
    parser.add_argument("--brokers", default="", metavar="HOST:PORT,...", help="where Kafka is")
    parser.add_argument("--timeout", type=duration_s, default=600, help="such as 10m (the default)")
    parser.add_argument("--force", action="store_true", help="go on where the nodes have no room")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="check only, change nothing")
    what.add_argument("--delete", action="store_true", help="remove it, keep the data")
    return parser


def duration_s(text: str) -> int:
    """Return the seconds of a duration such as 90, 90s, 10m or 1h."""
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 90s, 10m or 1h")
    return int(found[1]) * _UNITS_S[found[2]]
