"""The W3C trace context of an event: it follows from the names of the event and of its call."""

from __future__ import annotations

from hashlib import sha256


def trace_parent(tenant: str, call: str, source: str, event_id: str) -> str:
    """Return a W3C trace context: one trace a call, one span an event."""
    trace = sha256(f"{tenant}/{call}".encode()).hexdigest()[:32]
    span = sha256(f"{source} {event_id}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"
