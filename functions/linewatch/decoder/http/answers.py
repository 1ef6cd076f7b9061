"""What the decoder answers: JSON, the reply to a step, another pod's answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from linewatch.decoder.ownership.forwarder import Answer
from linewatch.decoder.ownership.sessions import Reply

_JSON: Final = "application/json"


def json_of(members: Mapping[str, Any], status: int = 200) -> Response:
    """Return *members* as JSON."""
    return Response(json.dumps(members), status, content_type=_JSON)


def reply_of(reply: Reply) -> Response:
    """Return what the sender of a step is told."""
    return json_of(
        {
            "next_seq": reply.next_seq,
            "next_position": reply.next_position,
            "partial": reply.partial,
            "finals": reply.finals,
        }
    )


def handed_back(answer: Answer) -> Response:
    """Return another pod's answer as it is."""
    return Response(answer.body, answer.status, answer.headers)
