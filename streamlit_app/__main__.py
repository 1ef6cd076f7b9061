"""``python -m streamlit_app``: serves the dashboard, with the options of ``streamlit run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streamlit import net_util
from streamlit.web import cli

_APP: Final = Path(__file__).with_name("app.py")


def nowhere() -> None:
    """Stand for an address of this machine that nobody has to find out."""


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    # For each WebSocket of a foreign origin Streamlit would ask a host outside for this machine's
    # address, and everybody's page would stand still meanwhile.
    net_util.get_external_ip = net_util.get_internal_ip = nowhere
    cli.main(["run", str(_APP), *arguments], prog_name="streamlit", auto_envvar_prefix="STREAMLIT")


if __name__ == "__main__":
    main(sys.argv[1:])
