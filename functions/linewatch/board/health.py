"""The pipeline's health, from what its parts report. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from linewatch.board.rows import DecoderHealth, FunctionHealth, Health

Report = Mapping[str, str]


def gather(
    *,
    pods: Mapping[str, Report],
    functions: Report,
    dispatcher: Report,
    outbox: Iterable[int],
    memory: Mapping[str, object],
    first_at_ms: int = 0,
) -> Health:
    """Return the health that the reports tell.

    Args:
        pods: Each decoder's hash; an empty one is a pod whose lease ran out.
        functions: ``<name>.replicas`` and ``<name>.cold_starts``.
        dispatcher: ``lag.<source>``, ``dead.<source>`` and ``oldest.<source>``, 0 for none.
        outbox: The length of each partition of the outbox.
        memory: Redis' ``INFO memory``.
        first_at_ms: When the oldest record in the outbox was written; 0 for none.
    """
    oldest = _counted(dispatcher, "oldest.") | {"outbox": first_at_ms}
    return Health(
        decoders=tuple(decoder(pod, report) for pod, report in sorted(pods.items()) if report),
        functions=_functions(functions),
        lag=_counted(dispatcher, "lag."),
        dead_letters=_counted(dispatcher, "dead."),
        outbox=sum(outbox),
        store_used_pct=used_pct(memory),
        oldest_at_ms={name: at_ms for name, at_ms in oldest.items() if at_ms},
    )


def decoder(pod: str, report: Report) -> DecoderHealth:
    """Return one decoder's health; what it does not report is 0."""

    def count(name: str) -> int:
        return _whole(report.get(name, "0"))

    return DecoderHealth(
        pod=pod,
        sessions=count("sessions"),
        capacity=count("capacity"),
        chunks=count("chunks"),
        forwards=count("forwards"),
        adoptions=count("adoptions"),
        undecodable=count("undecodable"),
    )


def used_pct(memory: Mapping[str, object]) -> float:
    """Return how much of its memory limit Redis uses; 0 where there is no limit."""
    limit = _whole(str(memory.get("maxmemory", 0)))
    return round(100 * _whole(str(memory.get("used_memory", 0))) / limit, 1) if limit else 0.0


def _functions(report: Report) -> tuple[FunctionHealth, ...]:
    names = sorted({field.rpartition(".")[0] for field in report} - {""})
    return tuple(
        FunctionHealth(
            name=name,
            replicas=_whole(report.get(f"{name}.replicas", "0")),
            cold_starts=_whole(report.get(f"{name}.cold_starts", "0")),
        )
        for name in names
    )


def _counted(report: Report, prefix: str) -> dict[str, int]:
    return {
        field.removeprefix(prefix): _whole(count)
        for field, count in sorted(report.items())
        if field.startswith(prefix)
    }


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
