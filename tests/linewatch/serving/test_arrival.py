"""Requests as they arrive: whole at the same byte, however they were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch.errors import LinewatchError
from linewatch.serving.arrival import Arrival
from linewatch.serving.head import HEAD_LIMIT
from tests.linewatch.decoder.pods import tried

LIMIT = 1000
BEGUN = b"POST /x HTTP/1.1\r\nHost: y\r\n"
CHUNKED = BEGUN + b"Transfer-Encoding: chunked\r\n\r\n"


def arrived(*pieces):
    """Return what arrived of *pieces*."""
    arrival = Arrival(LIMIT)
    for piece in pieces:
        arrival.take(piece)
    return arrival


def chunked(parts, trailer=b""):
    """Return *parts* as a chunked body."""
    told = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return told + b"0\r\n" + trailer + b"\r\n"


@given(
    st.lists(st.binary(max_size=200), max_size=5),
    st.booleans(),
    st.lists(st.integers(0, 1500), max_size=8),
    st.sampled_from([b"", b"x: y\r\n"]),
)
def test_cuts_change_nothing(parts, in_chunks, cuts, trailer):
    """Wherever the bytes are cut, and in chunks or not, the same request comes out, then whole."""
    body = b"".join(parts)
    sent = CHUNKED + chunked(parts, trailer)
    if not in_chunks:
        sent = BEGUN + b"content-length: %d\r\n\r\n" % len(body) + body
    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    arrival = Arrival(LIMIT)
    for begin, end in pairwise(edges):
        assert not arrival.is_whole or begin == len(sent)
        arrival.take(sent[begin:end])
    assert arrival.is_whole
    head, found, rest = arrival.parts()
    assert (head.target, head.fields) == ("/x", [("HOST", "y")])
    assert (found, rest) == (body, b"")


def test_next_request_is_kept():
    """What came after a request is handed on behind it."""
    assert arrived(BEGUN + b"\r\n" + BEGUN).parts()[1:] == (b"", BEGUN)


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_empty_lines_before_a_request_are_nothing(piece):
    """A sender that ends its last body with a line of its own is understood (RFC 9112, 2.2)."""
    sent = b"\r\n\r\n" + BEGUN + b"\r\n"
    arrival = arrived(*[sent[at : at + piece] for at in range(0, len(sent), piece)])
    assert arrival.is_whole
    assert arrival.parts()[0].method == "POST"


def test_sender_waits_for_word():
    """Expect: 100-continue is told once the head is there, and not any more with the body."""
    head = BEGUN + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    assert arrived(head).expects_continue
    assert not arrived(head, b"ab").expects_continue
    assert not arrived(head.replace(b"/1.1", b"/1.0")).expects_continue


@pytest.mark.parametrize(("sent", "status"), [
    (BEGUN + b"x: " + b"y" * HEAD_LIMIT, 431),
    (BEGUN + b"x: " + b"y" * HEAD_LIMIT + b"\r\n\r\n", 431),
    (BEGUN + b"Content-Length: 1001\r\n\r\n", 413),
    (BEGUN + b"Content-Length: " + b"9" * 17 + b"\r\n\r\n", 413),
    (BEGUN + b"Content-Length: +1\r\n\r\n", 400),
    (BEGUN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (BEGUN + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (BEGUN + b"Transfer-Encoding: identity\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (BEGUN + b"a b: c\r\n\r\n", 400),
    (b"POST /x HTTP/2.0\r\nHost: y\r\n\r\n", 400),
    (b"POST x HTTP/1.1\r\nHost: y\r\n\r\n", 400),
    (b"POST /x HTTP/1.1\r\n\r\n", 400),
    (BEGUN + b"Host: z\r\n\r\n", 400),
    (CHUNKED + b"3e9\r\n" + b"x" * 1001, 413),
    (CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx", 413),
    (CHUNKED + b"0x1\r\n", 400),
    (CHUNKED + b"-1\r\n", 400),
    (CHUNKED + b"1;" + b"x" * HEAD_LIMIT, 431),
    (CHUNKED + b"1\r\nabcd", 400),
    (CHUNKED + b"0\r\n" + b"x" * (HEAD_LIMIT + 9), 431),
])  # fmt: skip
def test_wrong_framing_is_refused(sent, status):
    """What has no certain end, or one too far, is refused before more of it is read."""
    with pytest.raises(LinewatchError) as caught:
        arrived(sent)
    assert caught.value.status == status


def test_crumbs_are_refused():
    """Chunks of one byte are refused before they cost more than they bring."""
    arrival = Arrival(1 << 20)
    arrival.take(CHUNKED + b"1\r\nx\r\n" * 4_000)
    with pytest.raises(LinewatchError) as caught:
        arrival.take(b"1\r\nx\r\n" * 1000)
    assert caught.value.status == 413


@given(st.sampled_from([b"", BEGUN, CHUNKED]), st.binary(max_size=300))
def test_garbage_is_whole_or_refused(begun, garbage):
    """Whatever bytes come, they wait, are whole or are refused as the sender's error."""
    _, error = tried(arrived, begun + garbage)
    assert error is None or error.status in (400, 413, 431)
