"""``docs/settings.md``: every setting of every role, written from the code by ``make settings``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from eventing.activator import ActivatorSettings
from eventing.dead_letters import DeadLetterSettings
from eventing.dispatcher import DispatcherSettings
from eventing.sink import SinkSettings
from eventing.topics import TopicsSettings
from infra.local import LocalSettings
from linewatch.board.settings import Settings as BoardSettings
from linewatch.decoder.settings import DecoderSettings
from linewatch.eventlog.settings import KafkaSettings
from linewatch.gateway.settings import GatewaySettings
from linewatch.sentiment.settings import Settings as SentimentSettings
from linewatch.tracing.choice import TracingSettings
from streamlit_app.settings import DashboardSettings

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
ROLES: Final[Mapping[str, type]] = {
    "demo (`make demo`)": LocalSettings,
    "decoder": DecoderSettings,
    "sentiment": SentimentSettings,
    "board": BoardSettings,
    "line and simulator (`python -m linewatch.gateway`)": GatewaySettings,
    "dashboard": DashboardSettings,
    "dispatcher": DispatcherSettings,
    "activator": ActivatorSettings,
    "sink and deadletters": SinkSettings,
    "topics": TopicsSettings,
    "missing and `python -m eventing.dead_letters`": DeadLetterSettings,
}
#: Listed once: several roles share them.
SHARED: Final[Mapping[str, type]] = {
    "Kafka: every role that reads or writes the event log": KafkaSettings,
    "traces: decoder, sentiment, board": TracingSettings,
}
_HEAD: Final = """\
# Settings

Written by `make settings` from the code: do not edit. Settings are environment variables. A wrong
one stops the start with a line that says what is allowed. The demo passes your environment on to
every role that it starts.
"""
_TABLE: Final = "| variable | default | meaning |\n|---|---|---|\n"
_REPOSITORY: Final = str(PAGE.parents[1]) + "/"


def page() -> str:
    """Return the whole page."""
    known = {name for kind in SHARED.values() for name, *_ in _rows(kind)}
    sections = [
        *(_section(title, kind, known) for title, kind in ROLES.items()),
        *(_section(title, kind, set()) for title, kind in SHARED.items()),
    ]
    return _HEAD + "".join(sections)


def _section(title: str, kind: type, left_out: set[str]) -> str:
    rows = "".join(
        f"| `{name}` | {default} | {meaning} |\n"
        for name, default, meaning in _rows(kind)
        if name not in left_out
    )
    return f"\n## {title[0].upper()}{title[1:]}\n\n{_TABLE}{rows}"


def _rows(kind: type) -> Iterator[tuple[str, str, str]]:
    for field in dataclasses.fields(kind):
        facts = field.metadata
        yield (
            facts["name"],
            _default(facts["default"]),
            str(facts["meaning"]).replace("|", "\\|"),
        )


def _default(value: str | None) -> str:
    if value is None:
        return "**must be set**"
    return f"`{value.removeprefix(_REPOSITORY)}`" if value else ""


if __name__ == "__main__":
    PAGE.write_text(page())
