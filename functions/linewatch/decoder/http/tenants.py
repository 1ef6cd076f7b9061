"""Who may send: a bearer token belongs to one tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from linewatch.errors import Forbidden, Unauthorized
from linewatch.names import checked_name
from linewatch.settings import token_digest

DEFAULT = "default"
_SCHEME = "bearer"


class Tenants:
    """Knows the tenants by the hashes of their tokens; without any, everybody may send.

    *more* tells tokens that change meanwhile: then nobody is let in without one.
    """

    def __init__(
        self, tokens: Mapping[str, str], more: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        self._tokens = tokens
        self._more = more

    def of(self, authorization: str | None, claimed: str | None) -> str:
        """Return the tenant a request acts for.

        Args:
            authorization: The header.
            claimed: The tenant the request itself names, if any.

        Raises:
            Unauthorized: no token, or none that is known.
            Forbidden: the token is another tenant's.
            BadName: the tenant named may not be used.
        """
        if not self._tokens and not self._more:
            return checked_name("tenant", claimed or DEFAULT)
        digest = token_digest(_token(authorization or ""))
        tenant = self._tokens.get(digest) or (self._more and self._more().get(digest))
        if not tenant:
            raise Unauthorized("this token is not known here: ask for a new one")
        if claimed and claimed != tenant:
            raise Forbidden("the token belongs to another tenant than the request names")
        return tenant


def _token(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != _SCHEME:
        raise Unauthorized("send Authorization: Bearer <token>")
    return token.strip()
