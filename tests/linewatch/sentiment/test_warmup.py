"""Loading the scorer beside an open port."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
import threading

import pytest

from linewatch.errors import Unavailable
from linewatch.sentiment import warmup
from linewatch.sentiment.warmup import Warmup


def test_ready_only_when_loaded(scorer):
    """It is not ready while it loads, and hands the scorer out afterwards."""
    go = threading.Event()
    warm = Warmup(lambda: scorer if go.wait(60) else None)
    assert not warm.is_ready
    go.set()
    assert warm.scorer() is scorer
    assert warm.is_ready


def test_caller_waits_for_scorer(scorer):
    """Who asks before it is loaded waits and gets it."""
    go = threading.Event()
    warm = Warmup(lambda: scorer if go.wait(60) else None)
    threading.Timer(0.05, go.set).start()
    assert warm.scorer() is scorer


def test_nothing_idle_is_imported():
    """Loading the scorer brings none of what spaCy imports for its command line."""
    code = (
        "import sys; from linewatch.sentiment import warmup; warmup.load()\n"
        "print(*({'typer', 'weasel', 'rich', 'httpx'} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout.split() == []


def test_hold_has_an_end():
    """Who waited long enough is told to send the event again."""
    go = threading.Event()
    warm = Warmup(lambda: go.wait(60))
    with pytest.raises(Unavailable, match="still being loaded"):
        warm.scorer(hold_s=0.01)
    go.set()


def test_broken_package_is_unavailable():
    """A package that cannot be imported is 503 and never ready, not a crash."""

    def broken():
        raise ImportError("No module named 'spacy'")

    warm = Warmup(broken)
    with pytest.raises(Unavailable, match="spacy"):
        warm.scorer()
    assert not warm.is_ready


def test_collector_works_again(scorer):
    """After loading, garbage is collected as before."""
    assert warmup.load().made_of == scorer.made_of
    assert gc.isenabled()


def test_stand_in_offers_one_name():
    """While it stands, the stand-in is what an import of the module gets."""
    with warmup._set_aside("linewatch_no_such_module", "info"):
        assert importlib.import_module("linewatch_no_such_module").info is None
    assert "linewatch_no_such_module" not in sys.modules


def test_loaded_module_stays(monkeypatch):
    """A module that is already there is left alone."""
    module = sys.modules["linewatch.errors"]
    with warmup._set_aside("linewatch.errors", "problem"):
        assert sys.modules["linewatch.errors"] is module
    assert sys.modules["linewatch.errors"] is module


def test_stand_in_gone_after_error():
    """An import that fails leaves no stand-in behind."""
    with pytest.raises(RuntimeError), warmup._set_aside("linewatch_no_such_module", "info"):
        raise RuntimeError
    assert "linewatch_no_such_module" not in sys.modules


def test_spacy_tools_still_import(scorer):
    """What was set aside while spaCy was imported can be imported afterwards."""
    assert callable(importlib.import_module("spacy.cli.info").info)
