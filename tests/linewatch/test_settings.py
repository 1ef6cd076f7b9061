"""Holds the settings to stopping a start with one clear line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch import settings
from linewatch.errors import SettingsError
from linewatch.eventlog.settings import KafkaSettings
from linewatch.settings import load, setting


@dataclass(frozen=True)
class _Kind:
    port: int = setting("PORT", settings.whole(1, 65535), "8080", "where to listen")
    model: str = setting("MODEL", str, None, "folder of the model")


def test_defaults_fill_in():
    """A variable that is not set has its default."""
    assert load(_Kind, {"MODEL": "m"}) == _Kind(port=8080, model="m")


def test_environment_wins():
    """A variable that is set wins over the default."""
    assert load(_Kind, {"MODEL": "m", "PORT": "9"}).port == 9


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"KAFKA_BROKERS": "kafka"}, "KAFKA_BROKERS: use host:port, comma-separated"),
        ({"KAFKA_BROKERS": "kafka:70000"}, "use host:port"),
        ({"SSL_CERT_PATH": "/nowhere.pem"}, "SSL_CERT_PATH: cannot be read, No "),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "use one of , PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
    ],
)
def test_wrong_kafka_is_told(env, told):
    """A wrong address, an unreadable file and an unknown mechanism are each named."""
    with pytest.raises(SettingsError) as caught:
        load(KafkaSettings, env)
    assert told in caught.value.detail


def test_kafka_is_off_by_default():
    """Without a word of Kafka there are no brokers; several are told apart."""
    assert load(KafkaSettings, {}).kafka_brokers == ()
    several = load(KafkaSettings, {"KAFKA_BROKERS": "a:1, [::1]:2"})
    assert several.kafka_brokers == ("a:1", "[::1]:2")


def test_all_faults_at_once():
    """Everything that is wrong or missing is named in one line, with what it is for."""
    with pytest.raises(SettingsError) as caught:
        load(_Kind, {"PORT": "0"})
    assert "PORT: must be from 1 to 65535 (where to listen)" in caught.value.detail
    assert "MODEL must be set: folder of the model" in caught.value.detail
    assert "\n" not in caught.value.detail


@given(st.text(max_size=200))
def test_any_value_is_judged(raw):
    """Any text is taken or refused by name, never with another error."""
    with contextlib.suppress(SettingsError):
        assert 1 <= load(_Kind, {"MODEL": "m", "PORT": raw}).port <= 65535


def test_long_value_is_shortened():
    """A wrong value is quoted shortened, so that the line stays one line."""
    with pytest.raises(SettingsError) as caught:
        load(_Kind, {"MODEL": "m", "PORT": "x\n" * 1000})
    assert len(caught.value.detail) < 400
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (settings.whole(0, 5), "5", 5),
        (settings.number(0, 5), "0.5", 0.5),
        (settings.flag, "TRUE", True),
        (settings.flag, "0", False),
        (settings.flag, "", False),
        (settings.one_of("a", "b"), "b", "b"),
        (settings.url("http", "https"), "http://x/", "http://x"),
        (settings.url("http"), "", ""),
        (settings.url("http"), "http://{name}.x:80", "http://{name}.x:80"),
        (settings.url("redis", "unix"), "unix:///run/redis.sock", "unix:///run/redis.sock"),
        (settings.names, " a, b,,c ", ("a", "b", "c")),
        (settings.names, "", ()),
        (settings.path, "/a/b", Path("/a/b")),
        (settings.tokens, "", {}),
    ],
)
def test_good_value_is_parsed(parse, raw, value):
    """Each kind of setting is read from text."""
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw", "told"),
    [
        (settings.whole(0, 5), "6", "from 0 to 5"),
        (settings.whole(0, 5), "many", "a whole number"),
        (settings.number(0, 5), "nan", "from 0 to 5"),
        (settings.number(0, 5), "x", "a number"),
        (settings.flag, "perhaps", "use true or false"),
        (settings.one_of("a", "b"), "c", "use one of a, b"),
        (settings.url("http"), "ftp://x", "must begin with http://"),
        (settings.url("http"), "http://", "must name a host"),
        (settings.url("http"), "http:///path", "must name a host"),
        (settings.url("http"), "http://x:99999", "a port from 1 to 65535"),
        (settings.url("http"), "http://x:0", "a port from 1 to 65535"),
        (settings.url("http"), "http://x:many/y", "a port from 1 to 65535"),
        (settings.tokens, "acme=secret", "sha256"),
        (settings.tokens, "=" + "0" * 64, "sha256"),
    ],
)
def test_bad_value_is_refused(parse, raw, told):
    """What cannot be used is refused, and the reason says what can."""
    with pytest.raises(ValueError, match=told):
        parse(raw)


def test_tokens_are_hashes():
    """Settings hold the hash of a token, never the token; the hash finds the tenant."""
    digest = settings.token_digest("secret")
    assert digest == sha256(b"secret").hexdigest()
    assert settings.tokens(f"acme={digest},other={'0' * 64}") == {digest: "acme", "0" * 64: "other"}


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback_is_recognised(host, is_local):
    """Only addresses of this machine itself count as loopback."""
    assert settings.is_loopback(host) is is_local


@pytest.mark.parametrize(
    ("raw", "host", "in_url"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:80"),
        ("decoder.example", "decoder.example", "decoder.example:80"),
        ("::1", "::1", "[::1]:80"),
        (" [::1] ", "::1", "[::1]:80"),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:80"),
        ("", "", ":80"),
    ],
)
def test_host_and_port(raw, host, in_url):
    """A host may be IPv6, with brackets or without; before a port it stands in brackets."""
    assert settings.bind_host(raw) == host
    assert settings.host_port(host, 80) == in_url


@pytest.mark.parametrize("raw", ["127.0.0.1:8080", "[::1]:8080", "host:80", "::1::2", "[::1"])
def test_bind_has_no_port(raw):
    """A bind that holds a port, or half an address, is refused."""
    with pytest.raises(ValueError, match="without a port"):
        settings.bind_host(raw)


@pytest.mark.parametrize(
    "raw", ["redis://[fd00::1]:6379/0", "redis://u:p@[fd00::1]/0", "redis://[::1]"]
)
def test_urls_of_ipv6(raw):
    """A URL may name an address of IPv6 in brackets."""
    assert settings.url("redis")(raw) == raw


def test_addresses_of_ipv6():
    """Of IPv6 an address stands in brackets: else nobody knows where its port begins."""
    assert settings.addresses("[::1]:9092,k:1") == ("[::1]:9092", "k:1")
    for raw in ("::1:9092", "[::1:9092", "[k]x:1", "fd00::1"):
        with pytest.raises(ValueError, match=r"\[address\]:port"):
            settings.addresses(raw)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("rediss://u:secret@[fd00::1]:6379/0", "rediss://[fd00::1]:6379/0"),
        ("redis://u:secret/secret@h:6379/0", "redis://h:6379/0"),
        ("redis://u:secret?secret@h:6379/0", "redis://..."),
        ("redis://u:secret#secret@h", "redis://..."),
        ("http://secret@h/path?token=secret", "http://h/path"),
        ("unix://u:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("", ""),
    ],
)
def test_shown_url_holds_no_secret(url, shown):
    """A URL is logged without who logs in and without its query, even where it is malformed."""
    assert settings.shown_url(url) == shown


def test_open_bind_needs_tokens():
    """Listening beyond this machine without a token stops the start."""
    settings.check_bind("127.0.0.1", {})
    settings.check_bind("0.0.0.0", {"0" * 64: "acme"})
    with pytest.raises(SettingsError, match="set TOKENS"):
        settings.check_bind("0.0.0.0", {})


def test_token_fits_a_header():
    """A token loses the line's end that a file left it; what no header can carry is refused."""
    assert settings.header_token(" secret\n") == "secret"
    assert settings.header_token("\n") == ""
    for raw in ("one\ntwo", "se\0cret", "s€cret"):
        with pytest.raises(ValueError, match="one token") as caught:
            settings.header_token(raw)
        assert "cret" not in str(caught.value)
