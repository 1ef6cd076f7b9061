"""The head of a request: what gunicorn's own parser reads is read the same, or refused."""

from __future__ import annotations

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from linewatch.errors import LinewatchError
from linewatch.serving import head
from tests.linewatch.decoder.pods import tried

PEER = ("192.0.2.1", 1)


def by_gunicorn(text):
    """Return what gunicorn's parser finds in a head, None if it refuses it."""
    config = Config()
    config.set("forwarded_allow_ips", "")
    try:
        found = next(RequestParser(config, [text.encode("latin-1") + b"\r\n\r\n"], PEER))
    except (ParseException, StopIteration):
        return None
    return found.method, found.uri, found.path, found.query, found.version, found.headers


def by_us(text):
    """Return the same of ours."""
    found, _ = tried(head.read, text)
    if found is None:
        return None
    fields = sorted([*found.fields, *found.framing])
    return found.method, found.target, found.path, found.query, found.version, fields


LINES = st.builds(
    "{} {} HTTP/{}".format,
    st.sampled_from(["GET", "POST", "OPTIONS", "PATCH", "M-SEARCH", "get", "G", "A" * 21, "G#T"]),
    st.sampled_from(["/", "/a?b=c&d", "//a/b?c", "/a#b?c", "/a?b#c", "*", "http://h/p?q", "http://h",
                     "http://[/", "h:80", "/\xff", "/ ", "", "/%00", "/a:b", "?"]),
    st.sampled_from(["1.1", "1.0", "1.9", "2.0", "0.9", "1", "1.10", "1.1 "]),
)  # fmt: skip
NAMES = st.sampled_from(["Host", "x-a", "X_A", "ce-id", "Content-Type", "content-length", "", "a b",
                         "\xe4", "SCRIPT_NAME", "Cookie", "x\t", "!#$%&'*+-.^_`|~"])  # fmt: skip
VALUES = st.text(st.characters(max_codepoint=255), max_size=12) | st.sampled_from(
    ["1", " a ", "\t", "a\r", "a\n b", "\x7f", "\xff", "a:b", '"a"']
)
FIELDS = st.builds("{}{}{}".format, NAMES, st.sampled_from([":", ": ", " :", ""]), VALUES)


@given(LINES | st.text(st.characters(max_codepoint=255), max_size=30), st.lists(FIELDS, max_size=5))
@example("GET / HTTP/1.1", ["Host: a", "host: b"])
@example("GET / HTTP/1.1", ["a: b", " c: d"])
@example("GET / HTTP/1.1", [f"x-{n}: y" for n in range(101)])
@example("GET /" + "a" * 5000 + " HTTP/1.1", [])
def test_nothing_is_read_that_gunicorn_reads_otherwise(line, fields):
    """Whatever head comes, ours says what gunicorn's says, or refuses it."""
    text = "\r\n".join([line, *fields])
    ours, theirs = by_us(text), by_gunicorn(text)
    if theirs:
        theirs = (*theirs[:-1], sorted(theirs[-1]))
    assert ours in (None, theirs)


@given(st.sampled_from(["/", "/a?b=c&d", "//a/b?c", "/a?b#c", "http://h/p?q"]), VALUES)
def test_good_requests_are_read(target, value):
    """What gunicorn reads of a good line and one field, we read."""
    text = f"POST {target} HTTP/1.1\r\nx-a: {value}"
    assert by_us(text) == by_gunicorn(text)


def test_framing_is_told_apart():
    """How the body comes is not the application's to know: it is told anew."""
    found = head.read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\nEXPECT: y")
    assert found.fields == [("HOST", "x")]
    assert found.own("TRANSFER-ENCODING") == ["chunked"]
    assert found.own("EXPECT") == ["y"]


@pytest.mark.parametrize("text", ["GET /", "GET / HTTP/1.1\r\n" + "x" * 5000])
def test_refusal_shows_what_was_sent(text):
    """Who sends what cannot be read is told which line that was, and no more than its begin."""
    with pytest.raises(LinewatchError, match=text[-5:]) as caught:
        head.read(text)
    assert len(str(caught.value)) < 200
