"""Prometheus' text format: what every role shows at ``/metrics``."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def registry() -> CollectorRegistry:
    """Return a registry that tells this process's CPU, memory and start already."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    return made


def text(counted: CollectorRegistry) -> bytes:
    """Return everything in *counted* as Prometheus reads it."""
    return generate_latest(counted)
