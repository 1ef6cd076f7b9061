"""The report of a comparison: posted by the run, which ends, and shown by who stays.

`send` and `read` are the two ends of one JSON object: the source and how many are missing.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from http import HTTPStatus
from typing import Final

import urllib3

from linewatch.errors import BadEvent, Unavailable
from linewatch.settings import shown_url

#: Where it is posted to.
PATH: Final = "/missing"
_ANSWER_S: Final = 10.0
_FIELDS: Final = {"source", "missing"}


def send(url: str, source: str, missing: int) -> None:
    """Post the report to *url*.

    Raises:
        Unavailable: nobody took it.
    """
    try:
        answer = urllib3.request(
            "POST",
            url,
            json={"source": source, "missing": missing},
            timeout=_ANSWER_S,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(
            f"{shown_url(url)} did not take the report: {type(error).__name__}"
        ) from error
    if answer.status != HTTPStatus.NO_CONTENT:
        raise Unavailable(f"{shown_url(url)} did not take the report: it answered {answer.status}")


def read(body: bytes, sources: Collection[str]) -> tuple[str, int]:
    """Return the source, one of *sources*, and how many are missing.

    Raises:
        BadEvent: it is no report.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadEvent("the report is not valid JSON") from error
    if not isinstance(parsed, dict) or parsed.keys() != _FIELDS:
        raise BadEvent('a report is {"source": NAME, "missing": NUMBER}')
    source, missing = parsed["source"], parsed["missing"]
    if source not in sources:
        raise BadEvent(f"there is no source {str(source)[:80]!r}: use {', '.join(sources)}")
    if type(missing) is not int or missing < 0:
        raise BadEvent("missing must be a whole number, 0 or more")
    return source, missing
