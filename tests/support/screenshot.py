"""Take a picture of a page: ``python -m tests.support.screenshot URL OUT.png``."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

_BOARD: Final = ".lw table"


def browser_path() -> str | None:
    """Return the browser: CHROMIUM, else Debian's ``chromium`` on PATH, else none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@contextmanager
def opened() -> Iterator[Browser]:
    """Open the browser, without a window.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    chromium = browser_path()
    if chromium is None:
        raise FileNotFoundError("no chromium on PATH: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def take(url: str, out: Path, width: int, height: int, settle_s: float) -> None:
    """Save the page at *url* as a PNG, *settle_s* after its table appeared.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    with opened() as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        page.wait_for_selector(_BOARD)
        page.wait_for_timeout(1000 * settle_s)
        page.screenshot(path=out)


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=950)
    parser.add_argument("--settle-s", type=float, default=3.0)
    wanted = parser.parse_args()
    take(wanted.url, wanted.out, wanted.width, wanted.height, wanted.settle_s)


if __name__ == "__main__":
    main()
