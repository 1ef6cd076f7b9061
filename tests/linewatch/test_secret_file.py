"""Secrets that change while they are used."""

from __future__ import annotations

import random

import pytest

from linewatch.calls import Channel
from linewatch.decoder.service import tenants_of
from linewatch.decoder.settings import DecoderSettings
from linewatch.errors import SettingsError, Unauthorized
from linewatch.gateway.__main__ import _token
from linewatch.gateway.decoders import Decoders
from linewatch.gateway.settings import GatewaySettings
from linewatch.secret_file import LOOK_S, SecretFile
from linewatch.settings import load, secret_line, token_digest, token_lines
from tests.support.decoders import Fleet, line_to
from tests.support.fakes import chunks, speech
from tests.support.waiting import eventually


def pairs(*tokens):
    """Return a file's text that lets *tokens* in as acme."""
    return "".join(f"acme={token_digest(token)}\n" for token in tokens)


@pytest.fixture(name="file")
def _file(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(pairs("old"))
    return file


def test_change_is_seen(file):
    """A file that changed is read again after a second, and not before."""
    now = [0.0]
    kept = SecretFile(file, token_lines, lambda: now[0])
    file.write_text(pairs("old", "new"))
    assert len(kept.value()) == 1
    now[0] = LOOK_S
    assert len(kept.value()) == 2


@pytest.mark.parametrize("text", [None, "", "acme=secret-itself"])
def test_broken_file_changes_nothing(file, text, caplog):
    """A file that is gone, empty or wrong leaves the last tokens in force; none is logged."""
    now = [0.0]
    kept = SecretFile(file, token_lines, lambda: now[0])
    file.unlink() if text is None else file.write_text(text)
    now[0] = LOOK_S
    assert list(kept.value()) == [token_digest("old")]
    assert "stays as it was" in caplog.text
    assert "secret-itself" not in caplog.text
    with pytest.raises(SettingsError, match="cannot be used"):
        SecretFile(file, token_lines)


def test_secret_swapped_by_link(tmp_path):
    """A mounted Secret is replaced by another link, and that is seen."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "TOKEN").write_text(name)
    (tmp_path / "data").symlink_to("one")
    now = [0.0]
    kept = SecretFile(tmp_path / "data" / "TOKEN", secret_line, lambda: now[0])
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    now[0] = LOOK_S
    assert kept.value() == "two"


def test_file_closes_the_house(file):
    """With a file of tokens nobody is let in without one, on loopback too."""
    env = {"VOSK_MODEL_PATH": "/", "COOKIE_KEYS": "x", "TOKENS_FILE": str(file)}
    tenants = tenants_of(load(DecoderSettings, env))
    assert tenants.of("Bearer old", None) == "acme"
    with pytest.raises(Unauthorized):
        tenants.of(None, None)


def test_line_reads_its_file(tmp_path):
    """A line's token may stand in a file."""
    (tmp_path / "token").write_text("secret\n")
    given = load(GatewaySettings, {"TOKEN_FILE": str(tmp_path / "token")})
    assert _token(given)() == "secret"


def test_rotation_needs_no_restart(redis_url, file):
    """A call goes on while the token changes; then the old one is refused by the same process."""
    token = ["old"]
    with Fleet(redis_url, TOKENS_FILE=str(file)) as fleet:
        (decoder,) = fleet.start()
        line = line_to([decoder.url], "rotated", (Channel.AGENT,))
        line._transport._token = lambda: token[0]
        pieces = chunks(speech(3.0))
        line.open()
        for each in pieces[:6]:
            line.push(Channel.AGENT, each.audio)
        file.write_text(pairs("old", "new"))
        eventually(lambda: _status(decoder, "new") == 404)
        token[0] = "new"
        for each in pieces[6:]:
            line.push(Channel.AGENT, each.audio)
        assert line.close(60)
        file.write_text(pairs("new"))
        eventually(lambda: _status(decoder, "old") == 401)
        assert _status(decoder, "new") == 404


def _status(decoder, token):
    """Return how a request with *token* is answered: 404 where it is let in."""
    asking = Decoders([decoder.url], token=token, chance=random.Random(1))
    answer = asking.send("GET", "/v1/calls/nobody/channels/agent", {}, b"")
    asking.close()
    return answer.status
