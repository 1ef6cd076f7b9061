"""Answers to requests that failed."""

from __future__ import annotations

import json

import pytest
from werkzeug.exceptions import MethodNotAllowed

from linewatch.errors import Overloaded
from linewatch.serving.problems import answer_to


@pytest.mark.parametrize(("error", "status", "header"), [
    (Overloaded("send again later"), 503, ("Retry-After", "5")),
    (MethodNotAllowed(["POST", "OPTIONS"]), 405, ("Allow", "OPTIONS, POST")),
    (ValueError("card number 4111"), 500, ("kne-reason", "internal-error")),
])  # fmt: skip
def test_every_error_is_problem(error, status, header):
    """An error of ours, of the framework and of the code are problems of their own status."""
    body, answered, headers = answer_to(error)
    assert answered == json.loads(body)["status"] == status
    assert header in headers.items()
    assert headers["Content-Type"] == "application/problem+json"
    assert "4111" not in body
