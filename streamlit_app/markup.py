"""Display values to HTML: one Jinja template that escapes whatever it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streamlit_app.pipeline import Figure
from streamlit_app.story import Story
from streamlit_app.strip import Kpi
from streamlit_app.view import AlertView, Filters, RowView, isolated

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Page:
    """Everything below the filters. ``paused_at`` is empty while the board is live.

    ``behind`` says how far what is live is behind, if it is.
    """

    filters: Filters
    age_s: float
    behind: str
    paused_at: str
    warnings: tuple[str, ...]
    kpis: tuple[Kpi, ...]
    rows: tuple[RowView, ...]
    known_rows: int
    unreadable: tuple[str, ...]
    alerts: tuple[AlertView, ...]
    story: Story | None
    functions: tuple[Figure, ...]
    decoders: tuple[Figure, ...]
    delivery: tuple[Figure, ...]


#: The template's indentation: every second it would be sent, parsed and compared.
_BETWEEN_LINES = re.compile(r">\s*\n\s*<")
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


_ENVIRONMENT.filters["isolated"] = isolated


def render(page: Page) -> str:
    """Return the page's HTML; whatever came from a call is text in it, never markup."""
    html = _ENVIRONMENT.get_template("board.html").render(page=page)
    return _BETWEEN_LINES.sub("><", html)
