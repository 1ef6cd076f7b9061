"""Tell how the calls are spread: run inside a decoder pod by the demos.

One line a decoder, ``pod ID ADDRESS SESSIONS``, and one a live channel,
``session CALL/CHANNEL MOVES NEXT_SEQ``: how often its owner changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from linewatch.decoder.store import Store

#: Also those whose last step was, by clocks that differ, in the future.
_ANY_S = -3600.0


def told(store: Store) -> Iterator[str]:
    """Return the lines."""
    for pod in store.pods():
        yield f"pod {pod.pod} {pod.address} {pod.sessions}"
    for key in store.idle(_ANY_S):
        stored = store.peek(key)
        if stored and not stored.ended:
            yield f"session {key.call}/{key.channel} {stored.moves} {stored.next_seq}"


def main() -> None:
    """Write all lines, or none."""
    lines = list(told(Store.from_url(os.environ["REDIS_URL"], "demo")))
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
