"""Traces are told where an endpoint is set and the extra is there, and cost nothing elsewhere."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linewatch.errors import SettingsError
from linewatch.settings import load
from linewatch.tracing import choice
from linewatch.tracing.choice import TracingSettings, tracer
from linewatch.tracing.otlp import Otlp
from linewatch.tracing.spans import OFF

FUNCTIONS = Path(choice.__file__).parents[2]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def _tracer(**env):
    return tracer(load(TracingSettings, env), "linewatch-test")


def test_nobody_listens_by_default():
    """Without an endpoint nobody is told."""
    assert _tracer() is OFF


def test_endpoint_must_be_http():
    """The endpoint is a URL of HTTP."""
    with pytest.raises(SettingsError, match=ENDPOINT):
        _tracer(**{ENDPOINT: "grpc://collector:4317"})


def test_endpoint_is_told_once(caplog):
    """Where an endpoint is set, a line says that traces go there."""
    caplog.set_level(logging.INFO, choice.__name__)
    found = _tracer(**{ENDPOINT: "http://127.0.0.1:1/"})
    assert isinstance(found, Otlp)
    found.close()
    assert caplog.messages == ["traces go to http://127.0.0.1:1"]


def test_missing_extra_is_named(caplog, monkeypatch):
    """Without the extra the role runs, and one line names what to install."""
    monkeypatch.setitem(sys.modules, "linewatch.tracing.otlp", None)
    assert _tracer(**{ENDPOINT: "http://127.0.0.1:1"}) is OFF
    (line,) = caplog.messages
    assert "function[tracing]" in line


@pytest.mark.parametrize(
    ("app", "module"),
    [
        ("sentiment", "opentelemetry"),
        # The others import redis, which looks at OpenTelemetry wherever it is installed.
        ("board", "linewatch.tracing.otlp"),
        ("decoder", "linewatch.tracing.otlp"),
    ],
)
def test_apps_import_no_tracing(app, module):
    """No role imports the extra before an endpoint is set."""
    code = f"import sys, linewatch.{app}.app; sys.exit({module!r} in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(FUNCTIONS)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
