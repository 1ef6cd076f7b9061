"""The picture of the board that the README shows."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import screenshot
from tests.support.source import ROOT

LATE_TABLE = b"""<body><script>
const table = "<div class=lw><table><tr><td>late</table></div>";
setTimeout(() => { document.body.innerHTML = table; }, 200);
</script></body>"""


class _LatePage(BaseHTTPRequestHandler):
    """A page whose table comes late, as the board's does."""

    def do_GET(self):
        """Send it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(LATE_TABLE)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(name="url")
def _url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _LatePage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_picture_waits_for_table(url, tmp_path):
    """The command writes a PNG of the size asked for once the table stands there."""
    if screenshot.browser_path() is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    out = tmp_path / "board.png"
    size = ["--width", "400", "--height", "300", "--settle-s", "0"]

    subprocess.run(
        [sys.executable, "-m", "tests.support.screenshot", url, str(out), *size],
        check=True,
        cwd=ROOT,
        timeout=60,
    )

    png = out.read_bytes()
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (400, 300)


def test_missing_browser_is_named(monkeypatch, tmp_path):
    """Without a browser the command says what to install."""
    monkeypatch.setattr(screenshot, "browser_path", lambda: None)

    with pytest.raises(FileNotFoundError, match="apt-get install chromium"):
        screenshot.take("http://127.0.0.1:1/", tmp_path / "x.png", 100, 100, 0)


def test_browser_may_be_named(monkeypatch):
    """CHROMIUM names a browser that is not on PATH."""
    monkeypatch.setenv("CHROMIUM", "/opt/browser")

    assert screenshot.browser_path() == "/opt/browser"
