"""kubectl, run for its answer: the only way to the cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from infra.manifests.objects import Object
from linewatch.errors import LinewatchError

_REQUEST_S: Final = 30
_LONGEST_S: Final = 600


class CommandFailed(LinewatchError):
    """kubectl refused or failed; *detail* is the last line that it said."""


class Kubectl:
    """Runs kubectl on the cluster of the current context, in one *namespace*."""

    def __init__(self, namespace: str = "", program: str = "kubectl") -> None:
        self.namespace = namespace
        self._program = program

    def text(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it wrote.

        Raises:
            CommandFailed: it did not end well.
        """
        where = ("--namespace", self.namespace) if self.namespace else ()
        try:
            done = subprocess.run(  # noqa: S603 - our own words, and the user's kubectl
                [self._program, *where, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=_LONGEST_S,
            )
        except OSError as error:
            raise CommandFailed("kubectl is not here: install it and put it on PATH") from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"kubectl {arguments[0]} did not end in {_LONGEST_S} s") from error
        if done.returncode:
            raise CommandFailed(_last_line(done.stderr) or f"kubectl {arguments[0]} failed")
        return done.stdout

    def objects(self, *arguments: str, stdin: str | None = None) -> list[Object]:
        """Return the objects that ``kubectl get`` finds; of a list, its items."""
        limit = f"--request-timeout={_REQUEST_S}s"
        answer = self.text("get", *arguments, "--output=json", limit, stdin=stdin)
        return [each for found in parse(answer) for each in _items(found)]

    def raw(self, path: str) -> Any:  # noqa: ANN401 - whatever the API server answers
        """Return what the API server answers at *path*."""
        return json.loads(self.text("get", "--raw", path, f"--request-timeout={_REQUEST_S}s"))

    def live(self, objects: Sequence[Object]) -> list[Object]:
        """Return those of *objects* that are there, as they are now."""
        return self.objects("--ignore-not-found", "--filename=-", stdin=listed(objects))

    def apply(self, objects: Sequence[Object], *how: str) -> str:
        """Make *objects* as they are wanted; return a line for each."""
        return self.text("apply", "--filename=-", *how, stdin=listed(objects))

    def context(self) -> str:
        """Return what kubectl calls the cluster that it speaks to."""
        try:
            return self.text("config", "current-context").strip()
        except CommandFailed:
            return "the cluster that this pod runs in"

    def elsewhere(self, namespace: str) -> Kubectl:
        """Return the same cluster's other *namespace*."""
        return Kubectl(namespace, self._program)

    def render(self, folder: Path) -> list[Object]:
        """Return what kustomize makes of *folder*; needs no cluster."""
        rendered = self.text("kustomize", str(folder))
        # What turns YAML into JSON here, for kinds that kubectl has never heard of too.
        idle = ("annotate", "--local", "--filename=-", "linewatch/none-", "--output=json")
        return list(parse(self.text(*idle, stdin=rendered)))


def parse(text: str) -> Iterator[Object]:
    """Return the JSON objects that stand one after the other in *text*."""
    decoder, begin = json.JSONDecoder(), 0
    text = text.strip()
    while begin < len(text):
        found, end = decoder.raw_decode(text, begin)
        yield found
        begin = end + len(text[end:]) - len(text[end:].lstrip())


def listed(objects: Sequence[Object]) -> str:
    """Return *objects* as kubectl takes them from a file."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _items(found: Object) -> Sequence[Object]:
    items: Sequence[Object] = found.get("items", [found])
    return items


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""
