"""The answer to a request that failed: the same from Flask and from the fast lane."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from linewatch.errors import LinewatchError, fault, problem, refused


def answer_to(error: Exception) -> tuple[str, int, dict[str, str]]:
    """Render *error* as problem JSON: body, status, headers.

    What the web framework refused keeps its status; any other error is a fault of ours: 500.
    """
    if isinstance(error, LinewatchError):
        return problem(error)
    if isinstance(error, HTTPException):
        return refused(error)
    return fault(error)
