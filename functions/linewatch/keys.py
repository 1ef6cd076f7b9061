"""Every Redis key of Linewatch, and how long it lives.

The decoder and the board never import each other, yet meet in some of these:
so the names stand here, and nowhere else. A call's id stands in them percent-encoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from linewatch.calls import ChannelKey
from linewatch.errors import BadName
from linewatch.names import encoded

#: The stream of entries that are no record or that the log refused, each with its
#: ``reason``. It lies in Redis: what Kafka refused, it would refuse in another topic too.
UNREADABLE: Final = "unreadable"
POD_LEASE_MS: Final = 1500
POD_RENEW_S: Final = 0.3
PARTIAL_EXPIRES_MS: Final = 10_000
HEALTH_EXPIRES_MS: Final = 5_000
#: A call that ended answers 410 for so long.
TOMBSTONE_EXPIRES_S: Final = 24 * 3600
#: What is left of a session after its call ended: the last finals, for late repeats.
ENDED_SESSION_EXPIRES_S: Final = 15 * 60
#: The board shows an ended call for so long.
ENDED_ROW_EXPIRES_S: Final = 15 * 60
#: The board keeps what it was told of a call for so long after its end, or after the last that
#: was told of one that did not end. What comes later is refused.
FACTS_EXPIRES_S: Final = 24 * 3600

#: Set of pod ids that held a lease; a pod is alive while its own key exists.
PODS: Final = "pods"
#: Sorted set of session members that are not parked, by the time of their last step (`CLOCK`).
SESSIONS: Final = "sessions"
#: Sorted set of calls to look after (`call_member`), by when something was last heard of them.
QUIET: Final = "quiet"
#: Hash: the time by which silence is measured (ms). It stands still while no decoder runs, and
#: when somebody sets Redis' clock.
CLOCK: Final = "clock"
#: Set of stream keys of the local event log.
LOGS: Final = "logs"


def pod(pod_id: str) -> str:
    """Hash: address, digest, load and counters of one decoder; expires with its lease."""
    return f"pod:{pod_id}"


def call(tenant: str, call_id: str) -> str:
    """Hash: what is known of a call; a tombstone once ``closed`` is set."""
    return f"call:{tenant}:{encoded(call_id)}"


def session(key: ChannelKey) -> str:
    """Hash: the checkpoint of one channel."""
    return f"s:{key.tenant}:{encoded(key.call)}:{key.channel}"


def tail(key: ChannelKey) -> str:
    """List: the steps since the last edge."""
    return f"{session(key)}:tail"


def taken(key: ChannelKey) -> str:
    """List: hashes of the last steps, newest last."""
    return f"{session(key)}:taken"


def finals(key: ChannelKey) -> str:
    """List: the last final hypotheses as JSON, newest last."""
    return f"{session(key)}:finals"


def member(key: ChannelKey) -> str:
    """The name of a session in `SESSIONS`."""
    return f"{key.tenant}|{encoded(key.call)}|{key.channel}"


def call_member(tenant: str, call_id: str) -> str:
    """The name of a call in `QUIET`."""
    return f"{tenant}|{call_id}"


def of_call_member(name: str) -> tuple[str, str]:
    """Read what `call_member` wrote: tenant and call."""
    tenant, _, call_id = name.partition("|")
    return tenant, call_id


def of_member(name: str) -> ChannelKey:
    """Read what `member` wrote."""
    tenant, call_id, channel = name.split("|")
    return ChannelKey.of(tenant, unquote(call_id), channel)


def of_members(names: Iterable[str]) -> list[ChannelKey]:
    """Read what `member` wrote; a channel that only newer code knows is left to it."""
    found = []
    for name in names:
        with suppress(BadName, ValueError):
            found.append(of_member(name))
    return found


def partial(tenant: str, call_id: str, channel: str) -> str:
    """String: the words of the utterance going on; expires after `PARTIAL_EXPIRES_MS`."""
    return f"partial:{tenant}:{encoded(call_id)}:{channel}"


def partials(tenant: str, call_id: str) -> str:
    """Set: the channels that have a `partial`; expires with the newest of them."""
    return f"partial:{tenant}:{encoded(call_id)}"


def outbox(partition: int) -> str:
    """Stream: records not yet acknowledged by the event log."""
    return f"outbox:{partition}"


def outbox_lease(partition: int) -> str:
    """String: the pod that drains the partition; expires with the lease."""
    return f"outbox:{partition}:lease"


def log(topic: str, partition: int) -> str:
    """Stream: one partition of one topic of the local event log."""
    return f"log:{topic}:{partition}"


def log_kept(topic: str) -> str:
    """String: from when on the topic holds every record, where memory was short (ms); expires."""
    return f"log:{topic}:kept"


def alias(tenant: str, name: str) -> str:
    """String: the call that a sender of ``POST /decode`` means by *name*."""
    return f"decode:{tenant}:{name}"


def undecodable(tenant: str) -> str:
    """List: audio that killed its decoder, as much as KEEP_UNDECODABLE allows."""
    return f"dead:audio:{tenant}"


def health(role: str) -> str:
    """Hash: what a role other than a decoder reports; expires after `HEALTH_EXPIRES_MS`."""
    return f"health:{role}"


def board_calls(tenant: str) -> str:
    """Sorted set: the tenant's calls by help score, worst highest."""
    return f"board:{tenant}:calls"


def board_rows(tenant: str) -> str:
    """Hash: call -> the row as JSON."""
    return f"board:{tenant}:rows"


def board_call(tenant: str, call_id: str) -> str:
    """Hash: everything the board was told about one call, by event."""
    return f"board:{tenant}:call:{encoded(call_id)}"


def board_alerts(tenant: str) -> str:
    """Hash: ``call|rule`` -> the alert as JSON."""
    return f"board:{tenant}:alerts"


def board_expiries(tenant: str) -> str:
    """Sorted set: the tenant's calls by when they leave the board (ms, Redis' clock)."""
    return f"board:{tenant}:expiries"


def board_newest(tenant: str) -> str:
    """String: when the board last took an event of the tenant (ms, Redis' clock)."""
    return f"board:{tenant}:newest"


def board_lags(tenant: str) -> str:
    """Hash: call -> the least ms that its words came after they were spoken, by its sender."""
    return f"board:{tenant}:lags"


def board_gone(tenant: str, call_id: str) -> str:
    """String: when the call leaves the board (ms, Redis' clock); outlives what is known of it.

    What is replayed later does not bring the call back as a live one.
    """
    return f"board:{tenant}:gone:{encoded(call_id)}"
