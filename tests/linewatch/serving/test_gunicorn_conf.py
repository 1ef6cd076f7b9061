"""Holds the function's gunicorn configuration to the conventions of the pipeline."""

from __future__ import annotations

import os
import subprocess
import sys

from linewatch.serving import gunicorn_conf
from tests.support.source import ROOT


def test_one_threaded_worker():
    """A function is one worker with 8 threads and no control socket."""
    conf = gunicorn_conf
    assert (conf.worker_class, conf.workers, conf.threads) == (
        "linewatch.serving.worker.Worker",
        1,
        8,
    )
    assert conf.control_socket_disable


def test_keep_alive_outlasts_idleness():
    """Kept connections are not closed in the hands of a caller that pauses."""
    assert gunicorn_conf.keepalive >= 300


def test_death_signal_is_set():
    """Once started, the kernel holds SIGTERM ready for the day the parent dies."""
    script = (
        "import ctypes\n"
        "from linewatch.serving import gunicorn_conf\n"
        "gunicorn_conf.on_starting(None)\n"
        "held = ctypes.c_int()\n"
        "ctypes.CDLL(None).prctl(2, ctypes.byref(held))\n"
        "print(held.value)\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/functions", "ACTIVATOR_PID": str(os.getpid())}
    told = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    assert told.stdout == b"15\n"


def test_without_activator_nothing_is_set():
    """A function that no activator started, as in a pod, keeps running without its parent."""
    script = (
        "import ctypes\n"
        "from linewatch.serving import gunicorn_conf\n"
        "gunicorn_conf.on_starting(None)\n"
        "held = ctypes.c_int()\n"
        "ctypes.CDLL(None).prctl(2, ctypes.byref(held))\n"
        "print(held.value)\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}/functions"}
    shown = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    assert shown.stdout == b"0\n"


def test_config_imports_little():
    """The configuration costs a cold start nothing: it imports no library."""
    script = (
        "import sys, linewatch.serving.gunicorn_conf\n"
        "print(bool({'flask', 'redis', 'urllib3', 'yaml'} & set(sys.modules)))\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/functions"}
    told = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
    assert told.stdout == b"False\n"
