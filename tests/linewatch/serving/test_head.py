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


METHODS = ["GET", "OPTIONS", "M-SEARCH", "get", "GE", "A" * 21, "G#T", "GET\n", "CONNECT"]
TARGETS = ["/", "/a?b=c&d", "//a/b?c", "/a#b?c", "/a?b#c", "*", "http://h/p?q", "http://h", "http://[/",
           "h:80", "/\xff", "/ ", "", "/%00", "/a:b", "?", "/a\x7f", "/" + "a" * 5000]  # fmt: skip
VERSIONS = ["1.1", "1.0", "1.9", "2.0", "0.9", "1", "1.", "1.10", "1.1 ", "1.1\n", "1.\xb2"]
NAMES = ["Host", "x-a", "X_A", "ce-id", "Content-Type", "", "a b", "\xe4", "\xb5",
         "SCRIPT_NAME", "Cookie", "x\t", "!#$%&'*+-.^_`|~", "!#$%&'*+-.^`|~", " a"]  # fmt: skip
VALUES = ["1", "", " a ", "\t", "a\r", "a\n", "a\n b", "\x7f", "\0", "\xff", "a:b", "\x85a"]
FIELDS = [name + colon + value for name in NAMES for colon in (":", " :", "") for value in VALUES]


def agree(text):
    """Tell whether ours says what gunicorn's says, or refuses the head."""
    ours, theirs = by_us(text), by_gunicorn(text)
    if theirs:
        theirs = (*theirs[:-1], sorted(theirs[-1]))
    return ours in (None, theirs)


def test_lines_are_read_as_gunicorn_reads_them():
    """Whatever first line comes, ours says what gunicorn's says, or refuses it."""
    lines = (f"{m} {t} HTTP/{v}" for m in METHODS for t in TARGETS for v in VERSIONS)
    assert [line for line in lines if not agree(line)] == []


def test_fields_are_read_as_gunicorn_reads_them():
    """Whatever field comes, ours says what gunicorn's says, or refuses it."""
    texts = (f"GET / HTTP/1.1\r\n{field}" for field in FIELDS)
    assert [text for text in texts if not agree(text)] == []


@given(st.text(st.characters(max_codepoint=255), max_size=30), st.lists(st.sampled_from(FIELDS)))
@example("GET / HTTP/1.1", ["Host: a", "host: b"])
@example("GET / HTTP/1.1", ["Content-Type: a", "content-type: b"])
@example("GET / HTTP/1.1", ["a: b", " c: d"])
@example("GET / HTTP/1.1", [f"x-{n}: y" for n in range(101)])
def test_nothing_is_read_that_gunicorn_reads_otherwise(line, fields):
    """Whatever head comes, ours says what gunicorn's says, or refuses it."""
    assert agree("\r\n".join([line, *fields]))


@pytest.mark.parametrize("target", ["/", "/a?b=c&d", "//a/b?c", "/a?b#c", "http://h/p?q"])
@pytest.mark.parametrize("value", ["1", " a ", "\t", "\xff", "a:b", "a=b; c"])
def test_good_requests_are_read(target, value):
    """What gunicorn reads of a good line and one field, we read."""
    text = f"POST {target} HTTP/1.1\r\nx-a: {value}"
    assert by_us(text) == by_gunicorn(text)
    assert by_us(text)


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
