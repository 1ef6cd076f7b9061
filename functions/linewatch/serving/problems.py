"""The answer to a request that failed: the same from Flask and from the fast lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from linewatch.errors import LinewatchError, TooLarge, fault, problem, refused

if TYPE_CHECKING:
    from flask import Flask


def answer_to(error: Exception) -> tuple[str, int, dict[str, str]]:
    """Render *error* as problem JSON: body, status, headers.

    What the web framework refused keeps its status; any other error is a fault of ours: 500.
    """
    if isinstance(error, LinewatchError):
        return problem(error)
    if isinstance(error, HTTPException):
        return refused(error)
    return fault(error)


def answer_problems(app: Flask) -> None:
    """Let *app* answer every error by `answer_to`, and a body over its limit with that limit."""
    limit = TooLarge(f"send at most {app.config['MAX_CONTENT_LENGTH']} bytes")
    app.register_error_handler(RequestEntityTooLarge, lambda _: answer_to(limit))
    app.register_error_handler(Exception, answer_to)
