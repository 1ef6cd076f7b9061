"""The head of a request: what is read is what gunicorn's own parser reads, or is refused."""

from __future__ import annotations

import h11
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
HOST = "Host: h\r\n"
FRAMING = {"TRANSFER-ENCODING", "CONTENT-LENGTH", "EXPECT"}


def by_gunicorn(text):
    """Return what gunicorn's parser finds in a head, None if it refuses it."""
    config = Config()
    config.set("forwarded_allow_ips", "")
    config.set("permit_unconventional_http_method", True)
    try:
        found = next(RequestParser(config, [text.encode("latin-1") + b"\r\n\r\n"], PEER))
    except (ParseException, StopIteration):
        return None
    return found.method, found.uri, found.path, found.query, found.version, found.headers


def by_h11(text):
    """Return h11's request, None while it is not whole."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(text.encode("latin-1") + b"\r\n\r\n")
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def by_us(text):
    """Return the same of ours."""
    request = by_h11(text)
    found, _ = tried(head.read, request) if request else (None, None)
    if found is None:
        return None
    return found.method, found.target, found.path, found.query, found.version, found.fields


METHODS = ["GET", "OPTIONS", "M-SEARCH", "GE", "A" * 21, "G#T", "GET\n", "CONNECT"]
TARGETS = ["/", "/a?b=c&d", "//a/b?c", "/a#b?c", "/a?b#c", "*", "http://h/p?q", "http://h", "http://[/",
           "h:80", "/\xff", "/ ", "", "/%00", "/a:b", "?", "/a\x7f"]  # fmt: skip
VERSIONS = ["1.1", "1.0", "2.0", "0.9", "1", "1.", "1.10", "1.1 ", "1.1\n", "1.\xb2"]
NAMES = ["x-a", "X_A", "ce-id", "Content-Type", "", "a b", "\xe4", "\xb5",
         "SCRIPT_NAME", "Cookie", "x\t", "!#$%&'*+-.^_`|~", "!#$%&'*+-.^`|~"]  # fmt: skip
VALUES = ["1", "", " a ", "\t", "\0", "\xff", "a:b", "\x85a"]
FIELDS = [name + colon + value for name in NAMES for colon in (":", " :", "") for value in VALUES]


def agree(text):
    """Tell whether ours says what gunicorn's says, or one of the two refuses the head."""
    ours, theirs = by_us(text), by_gunicorn(text)
    if ours and theirs:
        theirs = (*theirs[:-1], [each for each in theirs[-1] if each[0] not in FRAMING])
    return ours is None or theirs is None or ours == theirs


def test_lines_are_read_as_gunicorn_reads_them():
    """Whatever first line comes, ours says what gunicorn's says."""
    lines = (f"{m} {t} HTTP/{v}\r\n{HOST}"[:-2] for m in METHODS for t in TARGETS for v in VERSIONS)
    assert [line for line in lines if not agree(line)] == []


def test_fields_are_read_as_gunicorn_reads_them():
    """Whatever field comes, ours says what gunicorn's says."""
    texts = (f"GET / HTTP/1.1\r\n{HOST}{field}" for field in FIELDS)
    assert [text for text in texts if not agree(text)] == []


@given(st.text(st.characters(max_codepoint=255), max_size=30), st.lists(st.sampled_from(FIELDS)))
@example("GET / HTTP/1.1", ["Host: a", "host: b"])
@example("GET / HTTP/1.1", ["Content-Type: a", "content-type: b"])
@example("GET / HTTP/1.1", ["Host: h", "a: b", " c: d"])
def test_nothing_is_read_otherwise(line, fields):
    """Whatever head comes, ours says what gunicorn's says."""
    assert agree("\r\n".join([line, *fields]))


@pytest.mark.parametrize("target", ["/", "/a?b=c&d", "//a/b?c", "/a?b#c", "http://h/p?q"])
@pytest.mark.parametrize("value", ["1", " a ", "\t", "\xff", "a:b", "a=b; c"])
def test_good_requests_are_read(target, value):
    """What gunicorn reads of a good line and one field, we read."""
    text = f"POST {target} HTTP/1.1\r\n{HOST}x-a: {value}"
    assert by_us(text) == by_gunicorn(text)
    assert by_us(text)


def test_framing_is_left_out():
    """How the body came is not the application's to know."""
    request = by_h11("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\nEXPECT: y")
    assert head.read(request).fields == [("HOST", "x")]


@pytest.mark.parametrize("target", ["x" * 5000, "http://[/" + "x" * 5000])
def test_refusal_quotes_the_begin(target):
    """An unreadable address is quoted in the refusal, but no more than its begin."""
    with pytest.raises(LinewatchError, match=target[:20].replace("[", r"\[")) as caught:
        head.read(by_h11(f"GET {target} HTTP/1.1\r\nHost: x"))
    assert len(str(caught.value)) < 200
