"""A request as the decoder's edge reads it."""

from __future__ import annotations

from io import BytesIO

import pytest

from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.decoder.http.request import Request
from linewatch.errors import TooLarge, UnsupportedMedia


def asked(body=b"", **environ):
    """Read a POST of *body*."""
    told = {"REQUEST_METHOD": "POST", "PATH_INFO": "/p", "wsgi.input": BytesIO(body)}
    return Request.of({**told, "CONTENT_LENGTH": str(len(body)), **environ})


@pytest.mark.parametrize(("query", "path", "read"), [
    ("", "/p", {}),
    ("after=7", "/p?after=7", {"after": "7"}),
    ("after=&x=%41", "/p?after=&x=%41", {"after": "", "x": "A"}),
    ("after=1&after=2", "/p?after=1&after=2", {"after": "1"}),
])  # fmt: skip
def test_query_is_read(query, path, read):
    """A query is read, its first value where it has several, and goes on as it came."""
    found = asked(QUERY_STRING=query)
    assert (found.path, found.query) == (path, read)


def test_body_is_read_to_its_length():
    """What follows the body is not read: it is the next request's."""
    assert asked(b"abcd", CONTENT_LENGTH="3").body == b"abc"
    assert asked(b"abcd", CONTENT_LENGTH="").body == b""


def test_longest_body():
    """A body of the limit is taken, a longer one is not read."""
    assert len(asked(b"x" * BODY_LIMIT).body) == BODY_LIMIT
    with pytest.raises(TooLarge):
        asked(b"x" * (BODY_LIMIT + 1))


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity"])
def test_unchanged_body(encoding):
    """A body that is said to be as it is, is read."""
    assert asked(b"abcd", HTTP_CONTENT_ENCODING=encoding).body == b"abcd"


@pytest.mark.parametrize("encoding", ["gzip", "identity, br", "aws-chunked", "x"])
def test_packed_body(encoding):
    """A body that must be unpacked first is refused, by the name of what packs it."""
    with pytest.raises(UnsupportedMedia, match=encoding):
        asked(HTTP_CONTENT_ENCODING=encoding)
