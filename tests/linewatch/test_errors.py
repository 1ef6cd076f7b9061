"""Holds the errors to their statuses and to RFC 9457."""

from __future__ import annotations

import json
import re

import pytest

from linewatch import errors
from linewatch.errors import LinewatchError, SequenceGap, Unauthorized, Unavailable, problem


def _all():
    return [
        each
        for each in vars(errors).values()
        if isinstance(each, type)
        and issubclass(each, LinewatchError)
        and each is not LinewatchError
    ]


def _made(kind):
    return kind("call", "x") if kind is errors.BadName else kind("do this")


def test_tree_is_drawn_true():
    """The drawing on top of the module shows every error with the status it has."""
    drawn = dict(re.findall(r"── (\w+) +(\d{3})?", errors.__doc__))
    assert drawn.keys() == {kind.__name__ for kind in _all()}
    for kind in _all():
        if kind is not errors.SettingsError:
            assert drawn[kind.__name__] == str(kind.status), kind


@pytest.mark.parametrize("kind", _all())
def test_children_share_status_class(kind):
    """A more special error keeps its parent's status."""
    parent = kind.__mro__[1]
    assert parent is LinewatchError or kind.status == parent.status


@pytest.mark.parametrize("kind", _all())
def test_problem_is_rfc9457(kind):
    """Every error becomes problem JSON whose type names it and whose status is the answer's."""
    error = _made(kind)
    body, status, headers = problem(error)
    members = json.loads(body)
    assert members["status"] == status == kind.status
    assert members["type"] == f"urn:linewatch:problem:{error.slug()}"
    assert members["title"] == kind.title
    assert members["detail"] == error.detail == str(error)
    assert headers["Content-Type"] == "application/problem+json"
    assert re.fullmatch(r"[a-z0-9-]+", headers["kne-reason"])


def test_slugs_are_unique():
    """No two errors share a name in a problem's type."""
    slugs = [_made(kind).slug() for kind in _all()]
    assert len(slugs) == len(set(slugs))


def test_extra_members_are_told():
    """What a sender needs to go on stands in the problem beside the detail."""
    body, _, _ = problem(SequenceGap("send 7", next_seq=7, next_position=1600))
    assert {"next_seq": 7, "next_position": 1600}.items() <= json.loads(body).items()


@pytest.mark.parametrize("kind", [each for each in _all() if issubclass(each, Unavailable)])
def test_unavailable_says_when(kind):
    """Every 503 says after how many seconds to send again."""
    assert int(problem(_made(kind))[2]["Retry-After"]) >= 1


def test_unauthorized_names_scheme():
    """A 401 says that a bearer token is wanted, and only a 401 does."""
    assert problem(Unauthorized("send a token"))[2]["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in problem(SequenceGap("x"))[2]


def test_any_status_is_a_problem():
    """What a framework answers becomes a problem of the same form."""
    body, status, _ = problem(errors.of_status(405, "Method Not Allowed", "use POST", allow="POST"))
    assert status == 405
    assert json.loads(body)["type"] == "urn:linewatch:problem:method-not-allowed"
    assert json.loads(body)["allow"] == "POST"


def test_problem_is_read_back():
    """Another pod's problem is passed on as it was."""
    body, status, _ = problem(SequenceGap("send 7", next_seq=7))
    assert problem(errors.of_problem(status, body.encode()))[:2] == (body, status)


def test_unreadable_problem_is_503():
    """An answer that is no problem asks for another try."""
    assert errors.of_problem(500, b"<html>").status == 503
