"""Whether spans are told to anybody: only where an OTLP endpoint is set."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from linewatch.settings import setting, shown_url, url
from linewatch.tracing.spans import OFF, Tracer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where spans go."""

    endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        url("http", "https"),
        "",
        "base URL of an OTLP/HTTP collector; none = no traces",
    )


def tracer(settings: TracingSettings, service: str) -> Tracer:
    """Return whom *service* tells its spans.

    Without the ``tracing`` extra that is nobody and a line says so: a cluster
    may set the endpoint for every pod, and no trace is worth a call.
    """
    if not settings.endpoint:
        return OFF
    try:
        from linewatch.tracing.otlp import Otlp  # noqa: PLC0415 - a tenth of a second, and an extra
    except ImportError as error:
        log.warning("no traces: %s is missing, install the extra function[tracing]", error.name)
        return OFF
    log.info("traces go to %s", shown_url(settings.endpoint))
    return Otlp(settings.endpoint, service)
