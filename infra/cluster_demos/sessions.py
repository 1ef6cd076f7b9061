"""Tell how the calls are spread: run inside a decoder pod by the demos.

One line a decoder, ``pod ID ADDRESS SESSIONS``, and one a live channel,
``session CALL/CHANNEL MOVES NEXT_SEQ OWNER``: how often its owner changed, and which decoder's ID
that is now ("-" where nobody owns it).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import cast

from linewatch import keys
from linewatch.calls import ChannelKey
from linewatch.decoder.store.access import TIMEOUT_S
from linewatch.decoder.store.store import Store
from linewatch.eventlog.redis_writer import connect

#: Also those whose last step was, by clocks that differ, in the future.
_ANY_S = -3600.0


def told(store: Store, owner_of: Callable[[ChannelKey], str]) -> Iterator[str]:
    """Return the lines."""
    for pod in store.pods():
        yield f"pod {pod.pod} {pod.address} {pod.sessions}"
    for key in store.idle(_ANY_S):
        stored = store.peek(key)
        if stored and not stored.ended:
            facts = f"{stored.moves} {stored.next_seq} {owner_of(key) or '-'}"
            yield f"session {key.call}/{key.channel} {facts}"


def main() -> None:
    """Write all lines, or none."""
    url = os.environ["REDIS_URL"]
    client = connect(url, TIMEOUT_S)

    def owner_of(key: ChannelKey) -> str:
        found = cast("bytes | None", client.hget(keys.session(key), "owner"))
        return (found or b"").decode()

    lines = list(told(Store.from_url(url, "demo"), owner_of))
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
