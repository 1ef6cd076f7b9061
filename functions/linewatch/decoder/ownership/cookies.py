"""What decoders sign: the cookie that hints at a call's pod, and the pass of a forward."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from itsdangerous import BadData, BadSignature, Signer, URLSafeTimedSerializer

from linewatch.errors import Forbidden

COOKIE: Final = "linewatch"
COOKIE_AGE_S: Final = 3600
FORWARD_HEADER: Final = "linewatch-forward"
_COOKIES_REMEMBERED: Final = 512


@dataclass(frozen=True, slots=True)
class Hint:
    """What a cookie says: whose call it is, and which pod had it last."""

    tenant: str
    call: str
    pod: str


class Cookies:
    """Signs hints with the first secret, reads what any of them signed."""

    def __init__(self, secrets: tuple[str, ...], clock_s: Callable[[], float] = time.time) -> None:
        newest_last = list(reversed(secrets))
        self._serializer = URLSafeTimedSerializer(newest_last, salt="linewatch.cookie")
        self._clock_s = clock_s
        # Every chunk of a call brings the same cookie.
        self._opened = lru_cache(maxsize=_COOKIES_REMEMBERED)(self._open)

    def sign(self, hint: Hint) -> str:
        """Return a cookie's value."""
        return str(self._serializer.dumps([hint.tenant, hint.call, hint.pod]))

    def read(self, raw: str) -> Hint | None:
        """Return the hint, or none if it is too old.

        Raises:
            Forbidden: nobody who holds a secret signed it.
        """
        hint, signed_at_s = self._opened(raw)
        return hint if self._clock_s() - signed_at_s <= COOKIE_AGE_S else None

    def _open(self, raw: str) -> tuple[Hint, float]:
        try:
            (tenant, call, pod, *_), signed_at = self._serializer.loads(raw, return_timestamp=True)
        except (BadData, ValueError, TypeError):
            raise Forbidden("the cookie was not made here: send the request without it") from None
        return Hint(tenant, call, pod), signed_at.timestamp()


class Passes:
    """Proves to a pod that another pod forwards, and to whom it meant to."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._signer = Signer(list(reversed(secrets)), salt="linewatch.forward")
        self.sign = lru_cache(maxsize=256)(self._sign)
        self.read = lru_cache(maxsize=256)(self._read)

    def _sign(self, pod: str) -> str:
        return self._signer.sign(pod).decode()

    def _read(self, raw: str) -> str:
        """Return the pod that was meant.

        Raises:
            Forbidden: no pod signed it.
        """
        try:
            return self._signer.unsign(raw).decode()
        except (BadSignature, UnicodeDecodeError):
            raise Forbidden(f"only decoders send {FORWARD_HEADER}: leave it out") from None
