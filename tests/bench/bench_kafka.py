"""Kafka on this machine: which way of writing is best, how much passes, and how fast.

``python -m tests.bench.bench_kafka`` starts a broker of its own.

Writing: the relay's writer with one setting changed at a time, as the relay calls it: one
record at a time with time between (how it is all day) and batches of 64 (how it drains an
outbox). Passing: a topic of utterances, the dispatcher, the real sentiment function and the
sink, from the first score to the last, on all cores. Speed: from the commit of an utterance to
its row on the board, everything as the launcher starts it with LOG=kafka, functions warm.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from eventing import topics
from eventing.replica import free_port
from linewatch import events
from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.kafka_writer import KafkaLogWriter
from linewatch.events import Record
from tests.bench.bench_road import LATENCY_LINES, latencies_ms
from tests.bench.bench_sentiment import TEXTS
from tests.bench.bench_service import cpu_s
from tests.bench.sentiment_service import ROOT, service
from tests.support.kafka_broker import Broker, unique

WRITINGS: Mapping[str, Mapping[str, Any]] = {
    "as chosen": {},
    "5 requests in flight": {"max_in_flight_requests_per_connection": 5},
    "linger 5 ms": {"linger_ms": 5},
    "linger 20 ms": {"linger_ms": 20},
    "batches of 16 KiB": {"batch_size": 16_384},
    "batches of 256 KiB": {"batch_size": 262_144},
    "no compression": {"compression_type": None},
}
ROUNDS, ALONE, DRAINED, BATCH = 5, 30, 3_200, 64
PASSED, LIMIT_PASSED_S = 6_000, 300
LIMITS_MS = {"p50": 60, "p95": 250}


def record(number: int, topic: str = "utterances") -> Record:
    """Return an utterance of one of 100 calls, of a customer's usual length."""
    said = Utterance(
        key=ChannelKey("default", f"call-{number % 100}", Channel.CUSTOMER),
        started_at_ms=1_767_225_600_000,
        index=number // 100,
        first_sample=number * 8000,
        start_ms=number * 1000,
        end_ms=number * 1000 + 900,
        text=TEXTS[number % len(TEXTS)],
    )
    return events.to_record(events.utterance_final(said), topic)


def writings(broker: Broker) -> Mapping[str, tuple[float, ...]]:
    """Return of each way the median ms of a record alone, the records/s drained, and its CPU us.

    The ways take turns, so that a busy moment of the machine hits them all.
    """
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WRITINGS}
    for _ in range(ROUNDS):
        for name, options in WRITINGS.items():
            found[name].append(writing(broker, options))
    return {
        name: tuple(map(statistics.median, zip(*several, strict=True)))
        for name, several in found.items()
    }


def writing(broker: Broker, options: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the median ms of a record alone, the records/s drained, and the CPU us of each."""
    topic = unique("writing")
    broker.make_topics(topic)
    records = [record(number, topic) for number in range(DRAINED)]
    with closing(KafkaLogWriter(broker.brokers(), **options)) as writer:
        writer.publish(records[:BATCH])
        alone_ms = statistics.median(_alone_ms(writer, records[:ALONE]))
        begun_s, used_s = time.perf_counter(), time.process_time()
        for begin in range(0, DRAINED, BATCH):
            writer.publish(records[begin : begin + BATCH])
        took_s, used_s = time.perf_counter() - begun_s, time.process_time() - used_s
    return alone_ms, DRAINED / took_s, used_s / DRAINED * 1e6


def _alone_ms(writer: KafkaLogWriter, records: Sequence[Record]) -> Iterator[float]:
    for each in records:
        time.sleep(0.02)
        begun_s = time.perf_counter()
        writer.publish([each])
        yield (time.perf_counter() - begun_s) * 1000


@contextmanager
def role(module: str, **env: str) -> Iterator[int]:
    """Run a role of ``eventing`` as a process."""
    paths = os.pathsep.join((str(ROOT / "functions"), str(ROOT)))
    told = {**os.environ, "PYTHONPATH": paths, **env}
    process = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, env=told, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def passing(broker: Broker) -> tuple[float, Mapping[str, float]]:
    """Return the events a second from ``utterances`` through the function to ``scores``.

    And the CPU ms of each event in each process.
    """
    port = str(free_port())
    with ExitStack() as running:
        log = running.enter_context(closing(KafkaLog(broker.brokers())))
        sink = running.enter_context(role("eventing.sink", PORT=port, **broker.env))
        function = running.enter_context(service(f"http://127.0.0.1:{port}/scores"))
        function.wait_ready()
        for begin in range(0, PASSED, BATCH):
            log.publish([record(n) for n in range(begin, min(begin + BATCH, PASSED))])
        told = {"SOURCE": "sentiment", "K_SINK": f"http://127.0.0.1:{function.port}"}
        dispatcher = running.enter_context(role("eventing.dispatcher", **told, **broker.env))
        pids = {
            "dispatcher": (dispatcher,),
            "function": (function.process.pid, *children(function.process.pid)),
            "sink": (sink, *children(sink)),
            "broker": (broker.pid,),
        }
        first, begun_s, before = _scored(log, 1), time.perf_counter(), _used_s(pids)
        last, after = _scored(log, PASSED), _used_s(pids)
        each_ms = {name: (after[name] - before[name]) / (last - first) * 1000 for name in pids}
        return (last - first) / (time.perf_counter() - begun_s), each_ms


def _used_s(pids: Mapping[str, Sequence[int]]) -> Mapping[str, float]:
    return {name: sum(cpu_s(pid) for pid in several) for name, several in pids.items()}


def children(pid: int) -> tuple[int, ...]:
    """Return the processes that *pid* started."""
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _scored(log: KafkaLog, count: int) -> int:
    """Wait until *count* scores were written, and return how many there are then."""
    deadline_s = time.monotonic() + 120
    while True:
        (found,) = log.lags("scores", ["bench"])
        if found >= count:
            return found
        assert time.monotonic() < deadline_s, f"{found} of {count} scores after two minutes"
        time.sleep(0.2)


@contextmanager
def broker_of_our_own() -> Iterator[Broker]:
    """Start a broker that has our topics, and nothing in them."""
    with tempfile.TemporaryDirectory(prefix="linewatch-bench-") as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            topics.main(broker.env)
            yield broker
        finally:
            broker.stop()


def main() -> int:
    """Print the figures; return how many limits were missed."""
    with broker_of_our_own() as broker:
        missed = _measured_writing_and_passing(broker)
    # Another one: the board would have all those scores to take before the first of its own.
    with broker_of_our_own() as broker:
        return missed + _measured_speed(broker)


def _measured_writing_and_passing(broker: Broker) -> int:
    print("writing          alone, median ms   drained, records/s   CPU us each")
    for name, (alone_ms, per_s, each_us) in writings(broker).items():
        print(f"  {name:20} {alone_ms:8.1f} {per_s:20.0f} {each_us:15.0f}")
    passed, each_ms = passing(broker)
    print(f"Kafka -> dispatcher -> sentiment -> sink, unordered, {os.cpu_count()} cores")
    print(f"  {passed:.0f} events/s  limit {LIMIT_PASSED_S}")
    print("  CPU ms each: " + ", ".join(f"{name} {used:.2f}" for name, used in each_ms.items()))
    return int(passed < LIMIT_PASSED_S)


def _measured_speed(broker: Broker) -> int:
    took = latencies_ms(LOG="kafka", **broker.env)
    p50, p95 = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    print(f"commit of the utterance to row on the board, {LATENCY_LINES} lines, {len(took)} rows")
    print(f"  p50 {p50:6.1f} ms  limit {LIMITS_MS['p50']} ms")
    print(f"  p95 {p95:6.1f} ms  limit {LIMITS_MS['p95']} ms")
    return (p50 > LIMITS_MS["p50"]) + (p95 > LIMITS_MS["p95"])


if __name__ == "__main__":
    sys.exit(main())
