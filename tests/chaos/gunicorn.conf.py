"""The decoder's own configuration, with what a worker imports loaded once, in the master.

A worker that was killed is back in tenths of a second, so that a thousand kills fit into a run.
"""

from __future__ import annotations

from pathlib import Path

import tests.chaos.app  # noqa: F401 - for the workers

_OWN = Path(__file__).parents[2] / "functions/linewatch/decoder/gunicorn.conf.py"
exec(compile(_OWN.read_text(), str(_OWN), "exec"))
