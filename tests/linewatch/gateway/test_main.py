"""The command: a file, a simulation, and settings that stop the start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

import pytest

from infra.launcher.redis_server import free_port
from linewatch.gateway.__main__ import main
from linewatch.gateway.playing.pace import Clock
from linewatch.gateway.settings import GatewaySettings
from linewatch.settings import load
from tests.linewatch.gateway.playing.test_recording import _write
from tests.linewatch.gateway.stand_in import Decoder, served
from tests.support.source import ROOT
from tests.support.waiting import eventually


def _main(url, *arguments, **env):
    return main(list(arguments), {"HOST": url, **env}, Clock())


def test_plays_a_file(tmp_path, capsys):
    """A wav file becomes one call on the line that was named, at 1x, and finals are shown."""
    wav = _write(tmp_path / "x.wav")
    decoder = Decoder()
    decoder.finals["agent"] = [{"first_sample": 0, "text": "hello"}]
    with served(decoder) as url:
        began_s = time.monotonic()
        assert _main(url, "--file", str(wav), "--line", "desk-7", "--show") == 0
        assert time.monotonic() - began_s >= 0.95
    (call,) = decoder.calls
    assert call["line"] == "desk-7"
    assert call["call"].startswith("desk-7-20")
    assert len(decoder.fold(call["call"], "customer").audio) == 8000
    assert json.loads(capsys.readouterr().out) == {
        "channel": "agent",
        "first_sample": 0,
        "text": "hello",
    }


def test_resumes_a_file(tmp_path):
    """With --resume the call goes on where the decoder is."""
    wav = _write(tmp_path / "x.wav", seconds=2)
    decoder = Decoder()
    decoder.fold("c-1", "customer").kept.append((5, 15_000, {}))
    decoder.fold("c-1", "agent").kept.append((5, 15_000, {}))
    with served(decoder) as url:
        assert _main(url, "--file", str(wav), "--call", "c-1", "--resume") == 0
    assert decoder.fold("c-1", "agent").next_position == 16_000
    assert decoder.fold("c-1", "agent").ended


def test_unsent_call_is_a_failure(tmp_path):
    """A call that could not be ended is no success."""
    wav = _write(tmp_path / "x.wav")
    with served(Decoder(["unauthorized"])) as url:
        assert _main(url, "--file", str(wav)) == 1


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ([], {}, "nothing to do"),
        (["--simulate"], {"HOST": "ftp://x"}, "HOST"),
        (["--simulate"], {"HOST": ","}, "at least one decoder"),
        (["--simulate"], {"LINES": "0"}, "LINES"),
        (["--simulate"], {"LINE_PREFIX": "a\nb"}, "LINE_PREFIX"),
        (["--simulate"], {"HOLD": "1"}, "HOLD"),
        (["--simulate"], {"CALLS_DIR": "/nonexistent"}, "CALLS_DIR"),
        (["--file", "none.wav"], {}, "none.wav"),
        (["--file", "none.wav", "--channels", "Boss"], {}, "Boss"),
    ],
)
def test_wrong_start_says_why(capsys, arguments, env, said):
    """A wrong setting or argument stops the start with exit code 2 and one line."""
    assert main(arguments, env, Clock()) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


def test_wrong_line_name_is_refused(tmp_path, capsys):
    """A line's name must be one that can be shown."""
    wav = _write(tmp_path / "x.wav")
    assert _main("http://127.0.0.1:1", "--file", str(wav), "--line", "a\nb") == 2
    assert "line" in capsys.readouterr().err


def test_defaults_find_the_demo():
    """Without settings, eight lines play the demo's own calls to a local decoder."""
    settings = load(GatewaySettings, {})
    assert settings.hosts == ("http://127.0.0.1:8080",)
    assert (settings.lines, settings.chunk_ms, settings.simulate) == (8, 250, False)
    assert (settings.calls_dir / "calls.json").exists()


def test_hosts_are_a_list():
    """HOST may name several decoders."""
    hosts = load(GatewaySettings, {"HOST": "http://a:1, http://b:2/"}).hosts
    assert hosts == ("http://a:1", "http://b:2")


def test_health_and_metrics_have_port(tmp_path):
    """With PORT set, health and the lines' counters are shown while a call is played."""
    wav = _write(tmp_path / "x.wav", seconds=60)
    port = free_port()
    clock = Clock()
    with served(Decoder()) as url:
        env = {"HOST": url, "PORT": str(port)}
        playing = threading.Thread(target=main, args=(["--file", str(wav)], env, clock))
        playing.start()
        try:
            assert eventually(lambda: _chunks(port) > 0)
            assert _get(port, "/health/readiness") == b"ready\n"
        finally:
            clock.stop.set()
            playing.join()
    with pytest.raises(OSError, match="refused"):
        _get(port, "/health/liveness")


def _get(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read()


def _chunks(port):
    try:
        shown = _get(port, "/metrics").decode()
    except OSError:
        return 0.0
    return float(shown.partition("\nlinewatch_line_chunks_total ")[2].partition("\n")[0])


def test_taken_port_stops_start(capsys):
    """A PORT that is taken stops the start with one line."""
    with served(Decoder()) as url:
        port = url.rpartition(":")[2]
        assert _main(url, "--simulate", PORT=port) == 2
    text = capsys.readouterr().err
    assert "Address already in use" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_all_calls(tmp_path, number):
    """A signal ends every call properly, long before its audio is over."""
    _write(tmp_path / "x.wav", seconds=120)
    decoder = Decoder()
    with served(decoder) as url:
        env = {**os.environ, "HOST": url, "DO_SIMULATE": "true", "LINES": "6"}
        env |= {"CALLS_DIR": str(tmp_path), "PYTHONPATH": str(ROOT / "functions")}
        process = subprocess.Popen([sys.executable, "-m", "linewatch.gateway"], env=env)
        eventually(lambda: len(decoder.folds) >= 4)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert all(fold.ended for fold in decoder.folds.values())
    assert all(fold.next_position < 120 * 8000 for fold in decoder.folds.values())
