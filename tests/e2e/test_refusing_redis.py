"""A Redis that refuses until something is set: each role says what, and does not start."""

from __future__ import annotations

import logging

import pytest
import redis
import streamlit as st
from streamlit.testing.v1 import AppTest

from eventing import activator, deadletters, dispatcher, sink
from linewatch.board import app as board_app
from linewatch.decoder import service
from linewatch.decoder.app import app_of
from linewatch.decoder.settings import DecoderSettings
from linewatch.errors import SettingsError
from linewatch.settings import BOOT_FAILED, load
from streamlit_app.markup import FOLDER
from tests.support import fakes
from tests.support.refusing_redis import REFUSALS, refusing, with_password
from tests.support.waiting import eventually

_EVENTING = {
    "sink": sink.main,
    "deadletters": deadletters.main,
    "dispatcher": dispatcher.main,
    "activator": activator.main,
}
_DECODER = {"VOSK_MODEL_PATH": "unused", "COOKIE_KEYS": "one"}


@pytest.fixture(name="server", params=REFUSALS)
def _server(request, tmp_path):
    """Where a Redis refuses, and a word of what is said then."""
    with refusing(request.param, tmp_path) as url:
        yield url, REFUSALS[request.param]


@pytest.mark.parametrize("role", _EVENTING)
def test_eventing_does_not_start(server, role, capsys):
    """A role that carries events ends with one line that says what to set."""
    url, word = server
    assert _EVENTING[role]({"REDIS_URL": url}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line


def test_decoder_does_not_start(server):
    """A decoder is not built; what starts it says the error's line."""
    url, word = server
    with pytest.raises(SettingsError, match=word):
        service.build(
            load(DecoderSettings, {**_DECODER, "REDIS_URL": url}), fakes.HashRecognizers()
        )


def test_board_does_not_start(server, capsys):
    """The board ends its process with one line, so that gunicorn does not start it again."""
    url, word = server
    with pytest.raises(SystemExit) as ended:
        board_app.create({"REDIS_URL": url, "REPLY": "true"})
    assert ended.value.code == BOOT_FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line


def test_dashboard_says_it(server, monkeypatch):
    """The page says what to set instead of waiting for a board."""
    url, word = server
    monkeypatch.setenv("REDIS_URL", url)
    st.cache_resource.clear()
    (shown,) = AppTest.from_file(FOLDER / "app.py", default_timeout=20).run().error
    assert word in shown.value


def test_refusal_while_running_is_said(redis_url, caplog):
    """A decoder whose password turned wrong is not ready, says why, and comes back by itself."""
    decoder = service.build(
        load(DecoderSettings, {**_DECODER, "REDIS_URL": redis_url}), fakes.HashRecognizers()
    )
    web = app_of(decoder).test_client()

    def readiness():
        return web.get("/health/readiness")

    with caplog.at_level(logging.WARNING), redis.Redis.from_url(redis_url) as client:
        decoder.start()
        assert readiness().status_code == 200
        with_password(client, "another")
        try:
            eventually(lambda: readiness().status_code == 503)
            assert "REDIS_URL" in readiness().json["detail"]
        finally:
            client.config_set("requirepass", "")
        eventually(lambda: readiness().status_code == 200)
        decoder.stop()
    assert "lease waits: Redis refuses the user or the password" in caplog.text


def test_refused_board_says_it(redis_url):
    """A board whose password turned wrong is not ready, and says why."""
    web = board_app.create({"REDIS_URL": redis_url, "REPLY": "true"}).test_client()
    with redis.Redis.from_url(redis_url) as client:
        with_password(client, "another")
        try:
            answer = web.get("/health/readiness")
        finally:
            client.config_set("requirepass", "")
    assert answer.status_code == 503
    assert "REDIS_URL" in answer.json["detail"]
