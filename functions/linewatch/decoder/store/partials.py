"""The words being spoken, as Redis shows them to the board for a few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linewatch import keys
from linewatch.calls import ChannelKey


def show(pipe: Any, partials: Mapping[ChannelKey, str]) -> None:  # noqa: ANN401 - redis-py types a pipeline's answers as awaitable too
    """Queue what shows each channel's words, and which channels have some; "" removes them."""
    for key, text in partials.items():
        name = keys.partial(key.tenant, key.call, str(key.channel))
        channels = keys.partials(key.tenant, key.call)
        if text:
            pipe.set(name, text, px=keys.PARTIAL_EXPIRES_MS)
            pipe.sadd(channels, str(key.channel))
            pipe.pexpire(channels, keys.PARTIAL_EXPIRES_MS)
        else:
            pipe.delete(name)
