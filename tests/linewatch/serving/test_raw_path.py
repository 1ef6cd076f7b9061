"""The path of a request is read as it was sent."""

from __future__ import annotations

import pytest

from linewatch.errors import BadRequest
from linewatch.serving.raw_path import RawPath, decoded, raw_path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/calls/a%2Fb", "/v1/calls/a%2Fb"),
        ("/a%3Fb?after=1?2", "/a%3Fb"),
        ("/a#b?c", "/a"),
        ("http://decoder:8080/a%2Fb?x", "/a%2Fb"),
        ("//a", "//a"),
        ("/", "/"),
    ],
)
def test_target_is_taken_as_sent(target, path):
    """The path ends at its query, and nothing in it is decoded."""
    assert raw_path({"RAW_URI": target, "PATH_INFO": "/other"}) == path
    assert raw_path({"REQUEST_URI": target, "PATH_INFO": "/other"}) == path


def test_untold_path_is_encoded_anew():
    """Where the server tells the decoded path only, that is encoded, as far as it can be."""
    assert raw_path({"PATH_INFO": "/calls/\u00c3\u00a4 %/x"}) == "/calls/%C3%A4%20%25/x"


def test_application_sees_it():
    """The application behind is shown the path as it was sent."""
    seen = []
    inner = RawPath(lambda environ, _: seen.append(environ["PATH_INFO"]) or [])
    inner({"RAW_URI": "/a%2Fb?c", "PATH_INFO": "/a/b"}, lambda *_: None)
    assert seen == ["/a%2Fb"]


def test_segment_is_decoded():
    """A segment is decoded once, and refused if it is no UTF-8."""
    assert decoded("a%2Fb%252F%C3%A4") == "a/b%2F\u00e4"
    with pytest.raises(BadRequest, match="UTF-8"):
        decoded("a%FF")
