"""Points in time as RFC 3339 writes them, in all its forms. No I/O, no clock."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

#: OffsetDateTime of Java leaves out seconds that are 0: so may anybody.
PATTERN: Final = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
_MOMENT: Final = re.compile(PATTERN)


def parse(text: object) -> datetime:
    """Return the moment that *text* names; what is below a microsecond is cut off.

    A leap second, ``:60``, is the second after it: no clock that counts from 1970 has it.

    Raises:
        ValueError: it is no RFC 3339 time, has no zone, or the calendar has no such day.
    """
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not an RFC 3339 time")
    day, minute, second, fraction, zone = found.groups()
    whole = datetime.fromisoformat(f"{day}T{minute}{'+00:00' if zone in 'Zz' else zone}")
    microseconds = int((fraction or "").ljust(6, "0")[:6])
    try:
        return whole + timedelta(seconds=int(second or 0), microseconds=microseconds)
    except OverflowError as error:
        raise ValueError("after the calendar's last day") from error
