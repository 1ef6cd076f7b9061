"""Everything that can go wrong, each with the HTTP status it is answered with.

::

    LinewatchError
    ├── SettingsError                stops the start
    ├── BadRequest               400
    │   ├── BadName              400
    │   ├── BadChunk             400
    │   └── BadEvent             400
    ├── Unauthorized             401
    ├── Forbidden                403
    ├── NotFound                 404
    ├── Conflict                 409
    │   ├── SequenceGap          409  next_seq
    │   ├── SequenceConflict     409  next_seq
    │   ├── PositionConflict     409  next_seq, next_position
    │   ├── StreamReplaced       409
    │   └── SessionMoved         409
    ├── CallEnded                410
    ├── TooLarge                 413
    ├── UnsupportedMedia         415
    ├── Misdirected              421
    │   └── AnotherPod           421
    ├── Unprocessable            422
    │   └── TooLate              422
    └── Unavailable              503  Retry-After
        ├── StoreUnavailable     503
        │   └── StoreRefused     503
        ├── Overloaded           503
        ├── OwnerBusy            503
        ├── NewerCheckpoint      503
        └── SinkUnavailable      503

The message of an error says what to do. `problem` renders one as RFC 9457.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)

#: What may name a channel.
CHANNEL_RULE = (
    "use agent, customer, mixed, or 1 to 32 of a-z, 0-9 and '-' for a further party, a letter first"
)
_CALL_RULE = (
    "use 1 to 256 bytes of text that can be seen, without control characters, not '.' or '..'"
)
_LABEL_RULE = "use up to 128 characters that can be shown, and none that turn other text around"
_NAME_RULE = "use 1 to 128 letters, digits, '.', '_', '~' or '-', a letter or digit first"
_NAME_RULES = {
    "channel": CHANNEL_RULE,
    "call": _CALL_RULE,
    **dict.fromkeys(("line", "agent", "queue"), _LABEL_RULE),
}


class LinewatchError(Exception):
    """The root: *detail* is one sentence that says what to do, *extra* more members."""

    status: int = 500
    title: str = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    def slug(self) -> str:
        """The error's name in a problem's ``type`` and in ``kne-reason``."""
        return self.title.lower().replace(" ", "-")


class SettingsError(LinewatchError):
    """A setting is missing or wrong; nothing was started."""

    title = "Wrong setting"


class BadRequest(LinewatchError):
    """The request cannot be understood."""

    status = 400
    title = "Bad request"


class BadName(BadRequest):
    """A tenant, call, line or channel has a name that may not be used."""

    title = "Bad name"

    def __init__(self, kind: str, name: object) -> None:
        rule = _NAME_RULES.get(kind, _NAME_RULE)
        # Only what was named is shown: a deep list cannot even be printed.
        shown = name[:40] if isinstance(name, str) else type(name).__name__
        super().__init__(f"{kind} {shown!r} may not be used: {rule}")
        #: What a name must be, without the one that was given.
        self.rule = rule


class BadChunk(BadRequest):
    """The chunk's number, position, rate or length is wrong."""

    title = "Bad chunk"


class BadEvent(BadRequest):
    """The body is no CloudEvent of a type this service takes."""

    title = "Bad event"


class Unauthorized(LinewatchError):
    """No bearer token, or one that belongs to no tenant."""

    status = 401
    title = "Unauthorized"


class Forbidden(LinewatchError):
    """The token or cookie belongs to somebody else."""

    status = 403
    title = "Forbidden"


class NotFound(LinewatchError):
    """There is no such call or channel."""

    status = 404
    title = "Not found"


class Conflict(LinewatchError):
    """The request does not fit the session's state."""

    status = 409
    title = "Conflict"


class SequenceGap(Conflict):
    """Steps are missing before this one."""

    title = "Sequence gap"


class SequenceConflict(Conflict):
    """This step was already taken, with other bytes."""

    title = "Sequence conflict"


class PositionConflict(Conflict):
    """The position lies before audio that was already heard."""

    title = "Position conflict"


class StreamReplaced(Conflict):
    """A newer run of the sender has taken this channel over."""

    title = "Stream replaced"


class SessionMoved(Conflict):
    """Another pod owns the session by now: send again."""

    title = "Session moved"


class CallEnded(LinewatchError):
    """The call has ended: a new call needs a new id."""

    status = 410
    title = "Call ended"


class TooLarge(LinewatchError):
    """The body is larger than the service takes."""

    status = 413
    title = "Too large"


class UnsupportedMedia(LinewatchError):
    """The content type is none the service reads."""

    status = 415
    title = "Unsupported media type"


class Misdirected(LinewatchError):
    """The forward names another pod than this one."""

    status = 421
    title = "Misdirected"


class AnotherPod(Misdirected):
    """The pod that a forward names is no more: this one listens at its address now."""

    title = "Another pod"


class Unprocessable(LinewatchError):
    """An event of the right type whose data breaks its schema."""

    status = 422
    title = "Unprocessable"


class TooLate(Unprocessable):
    """An event of a call of which nothing is known any more."""

    title = "Too late"


class Unavailable(LinewatchError):
    """Send the same request again after ``Retry-After``; nothing was lost."""

    status = 503
    title = "Unavailable"
    retry_after_s: int | None = 1


class StoreUnavailable(Unavailable):
    """Redis did not answer."""

    title = "Store unavailable"


class StoreRefused(StoreUnavailable):
    """Redis will not serve us until somebody sets what the message says."""

    title = "Store refused"


class Overloaded(Unavailable):
    """No new call is taken."""

    title = "Overloaded"
    retry_after_s = 5


class OwnerBusy(Unavailable):
    """The owner pod did not answer in time."""

    title = "Owner busy"


class NewerCheckpoint(Unavailable):
    """The session was written by a newer version than this pod knows."""

    title = "Newer checkpoint"


class SinkUnavailable(Unavailable):
    """The event sink took the event too slowly or not at all."""

    title = "Sink unavailable"


@contextmanager
def in_batch(index: int, taken: int = 0, of: int | None = None) -> Iterator[None]:
    """Make what is raised here name its event of a batch, and how many before it were taken.

    Args:
        index: Of the event in its batch, from 0.
        taken: How many events of the batch were taken.
        of: How many came; a single one that is no batch is refused in its own words.
    """
    try:
        yield
    except LinewatchError as error:
        if of != 1:
            _place(error, index, taken)
        raise


def _place(error: LinewatchError, index: int, taken: int) -> None:
    what = "events before it were" if taken else "nothing of the batch was"
    error.detail = f"event {index} of the batch, counted from 0: {error.detail}; {what} taken"
    error.args = (error.detail,)
    error.extra |= {"index": index, "taken": taken}


def problem(error: LinewatchError) -> tuple[str, int, dict[str, str]]:
    """Render *error* as an RFC 9457 answer: body, status, headers.

    ``kne-reason`` is what a KafkaSource copies to the dead letter.
    """
    body = {
        "type": f"urn:linewatch:problem:{error.slug()}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **error.extra,
    }
    headers = {"Content-Type": "application/problem+json", "kne-reason": error.slug()}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == Unauthorized.status:
        headers["WWW-Authenticate"] = "Bearer"
    return json.dumps(body), error.status, headers


def of_status(status: int, title: str, detail: str, **extra: object) -> LinewatchError:
    """Return an error of any HTTP *status*: one that a framework or another pod answered."""
    error = LinewatchError(detail, **extra)
    error.status, error.title = status, title
    if status == Unavailable.status:
        error.retry_after_s = Unavailable.retry_after_s
    return error


def of_framework(status: int | None, name: str, detail: str | None) -> LinewatchError:
    """Return the error that a web framework means, by our own title where we have one."""
    kinds = [kind for kind in LinewatchError.__subclasses__() if "status" in vars(kind)]
    known = {kind.status: kind.title for kind in kinds}
    code = status or LinewatchError.status
    return of_status(code, known.get(code, name), detail or name)


def refused(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    """Render what the web framework refused, with the methods the route takes where it is that."""
    body, code, headers = problem(of_framework(error.code, error.name, error.description))
    allowed: Iterable[str] | None = getattr(error, "valid_methods", None)
    return body, code, headers | ({"Allow": ", ".join(sorted(allowed))} if allowed else {})


def fault(error: Exception) -> tuple[str, int, dict[str, str]]:
    """Render a fault of ours, and log where it arose; its message may tell what was said."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
    log.error("unexpected %s at %s", type(error).__name__, where)
    return problem(LinewatchError("this is our fault: send the request again"))


def of_problem(status: int, body: bytes) -> LinewatchError:
    """Read what `problem` wrote."""
    try:
        members = dict(json.loads(body))
    except (ValueError, TypeError):
        return Unavailable("another pod's answer cannot be read: send the same request again")
    known = {name: str(members.pop(name, "")) for name in ("type", "title", "status", "detail")}
    return of_status(status, known["title"], known["detail"], **members)
