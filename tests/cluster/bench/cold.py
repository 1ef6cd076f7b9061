"""From no pod to a score: how long, and where the time goes, 20 times."""

from __future__ import annotations

import datetime as dt
import secrets
import statistics
import time
from dataclasses import astuple, dataclass

from kafka import KafkaConsumer

from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.events import to_record, utterance_final
from tests.cluster.kube import eventually
from tests.cluster.topics import Topics, partitions

RUNS = 20
LIMIT_S = 4.0
STARTED_AT_MS = 1_767_225_600_000
TEXT = "i have been waiting for forty minutes and my router is still not working"
PHASES = ("pod started", "process started and warm", "first score", "in all")
#: What tells when a process began: its own start in ticks, the uptime, and the time of day.
CLOCKS = "cat /proc/uptime /proc/1/stat; date +%s.%N; getconf CLK_TCK"


@dataclass(frozen=True, slots=True)
class Cold:
    """Seconds that each phase took."""

    pod_s: float
    warm_s: float
    score_s: float
    whole_s: float


class Scores:
    """Follows the topic of the scores."""

    def __init__(self, bootstrap):
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False
        )
        self._consumer.assign(partitions(self._consumer, "scores"))
        self._consumer.seek_to_end()
        for place in self._consumer.assignment():
            self._consumer.position(place)

    def written_at_s(self, call, timeout_s=60):
        """Return when the first score of *call* was written."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            for records in self._consumer.poll(timeout_ms=500).values():
                for record in records:
                    if record.key == call.encode():
                        return record.timestamp / 1000
        raise AssertionError(f"no score within {timeout_s} s")


def _utterance(call):
    return utterance_final(
        Utterance(ChannelKey("default", call, Channel.CUSTOMER), STARTED_AT_MS, 0, 0, 0, 4000, TEXT)
    )


def _began_at_s(cluster, pod):
    uptime, stat, now_s, ticks = cluster.execute(pod, "sh", "-c", CLOCKS).splitlines()
    began_s = int(stat.rpartition(")")[2].split()[19]) / int(ticks)
    return float(now_s) - (float(uptime.split()[0]) - began_s)


def _warm_at_s(cluster, pod):
    told = cluster.kubectl("logs", pod.name, "-c", pod.containers[0], "--timestamps")
    line = next(each for each in told.splitlines() if " warm: " in each)
    stamp = line.split()[0]
    whole = dt.datetime.fromisoformat(f"{stamp[:26]}+00:00")
    return whole.timestamp()


def once(cluster, topics, scores):
    """Wait until nothing is left of the function, then have one utterance scored."""
    eventually(lambda: not cluster.pods_of("sentiment"), 180)
    call = f"cold-{secrets.token_hex(4)}"
    record = to_record(_utterance(call))
    begun_s = time.time()
    topics.put(record.topic, record.key.encode(), record.value, record.headers)
    scored_s = scores.written_at_s(call)
    (pod,) = cluster.pods_of("sentiment")
    process_s, warm_s = _began_at_s(cluster, pod), _warm_at_s(cluster, pod)
    return Cold(process_s - begun_s, warm_s - process_s, scored_s - warm_s, scored_s - begun_s)


def measure(cluster):
    """Yield the table; fail where the 95th of a hundred would wait longer than the aim."""
    topics, scores = Topics(cluster.bootstrap), Scores(cluster.bootstrap)
    found = [astuple(once(cluster, topics, scores)) for _ in range(RUNS)]
    yield "| phase | p50 s | p95 s |"
    yield "|---|---|---|"
    for phase, taken in zip(PHASES, zip(*found, strict=True), strict=True):
        p95 = statistics.quantiles(taken, n=20, method="inclusive")[-1]
        yield f"| {phase} | {statistics.median(taken):.2f} | {p95:.2f} |"
    yield f"aim: p95 in all <= {LIMIT_S:.0f} s: {'kept' if p95 <= LIMIT_S else 'MISSED'}"
