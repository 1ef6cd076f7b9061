"""CPU of a chunk: at its owner's pod, at another pod that forwards it, and in all of Linewatch."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict

from tests.cluster.bench.memory import summaries
from tests.cluster.direct import begun_elsewhere, direct
from tests.cluster.kube import eventually
from tests.cluster.lines import PIECE_S, Playing, calls_of, line_of, through_gateway

CALLS = 4
CHANNELS = 2
SECONDS = 45
CHUNKS = CALLS * CHANNELS * SECONDS / PIECE_S
LINES = 100
#: Of the kernel's clock, a second.
TICKS = 100
#: The kubelet looks at each container every 10 to 15 s.
LOOK_S = 20


def _process_ms(stat):
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1000 / TICKS


class Meter:
    """CPU milliseconds that pods' decoders use, above what they use when nobody calls."""

    def __init__(self, cluster, pods):
        self._cluster = cluster
        self._pods = pods
        before = self._used_ms()
        time.sleep(SECONDS)
        self._idle_ms = self._since(before)

    def _used_ms(self):
        return [sum(map(_process_ms, self._stats(pod))) for pod in self._pods]

    def _stats(self, pod):
        # One that ends while it is listed is none of the decoder's.
        command = "cat /proc/[0-9]*/stat 2>/dev/null || true"
        return self._cluster.execute(pod, "sh", "-c", command).splitlines()

    def _since(self, before):
        return [now - then for now, then in zip(self._used_ms(), before, strict=True)]

    def chunk_ms(self, play):
        """Return each pod's CPU for one of the chunks that *play* sends."""
        before = self._used_ms()
        play()
        pairs = zip(self._since(before), self._idle_ms, strict=True)
        return [(used - idle) / CHUNKS for used, idle in pairs]


def _play(calls, lines):
    with Playing(calls, lines) as playing:
        playing.end()


def _calls():
    return calls_of(f"bench-{secrets.token_hex(3)}", CALLS, SECONDS)


def _two_pods(cluster):
    cluster.kn("service", "update", "decoder", "--scale-min", "2")

    def ready():
        pods = [pod for pod in cluster.pods_of("decoder") if pod.ready]
        revision = cluster.get("ksvc", "decoder")["status"]["latestReadyRevisionName"]
        return pods if [pod.revision for pod in pods] == [revision] * 2 else None

    return eventually(ready, 240)


def _used_s(cluster):
    found = defaultdict(float)
    for (pod, container), each in summaries(cluster).items():
        role = pod.partition("-")[0] if container == "user-container" else container
        found[role] += each["cpu"]["usageCoreNanoSeconds"] / 1e9
    return found


def _everywhere(cluster, gate):
    """Yield what one line costs each role, above what it uses when nobody calls."""
    time.sleep(LOOK_S)
    first, begun_s = _used_s(cluster), time.monotonic()
    time.sleep(SECONDS)
    before, middle_s = _used_s(cluster), time.monotonic()
    calls = _calls()
    _play(calls, [line_of(call, gate) for call in calls])
    time.sleep(LOOK_S)
    after, ended_s = _used_s(cluster), time.monotonic()
    idle = (ended_s - middle_s) / (middle_s - begun_s)
    yield "| role | CPU of one two-channel line, millicores | of 100 lines, cores |"
    yield "|---|---|---|"
    for role in sorted(after):
        used_s = after[role] - before[role] - idle * (before[role] - first[role])
        each = max(0.0, used_s) / (CALLS * SECONDS)
        yield f"| {role} | {1000 * each:.1f} | {LINES * each:.2f} |"


def measure(cluster):
    """Yield the tables."""
    token = cluster.secret("linewatch-line", "TOKEN")
    pods = _two_pods(cluster)
    meter = Meter(cluster, pods)
    with direct(cluster, pods[0], token) as owner, direct(cluster, pods[1], token) as wrong:
        calls = _calls()
        owned, _ = meter.chunk_ms(lambda: _play(calls, [line_of(call, owner) for call in calls]))
        others = _calls()
        away = [begun_elsewhere(cluster, call, owner, wrong) for call in others]
        at_owner, forwarding = meter.chunk_ms(lambda: _play(others, away))
    yield "| chunk of 250 ms | CPU ms |"
    yield "|---|---|"
    yield f"| owned: commit and decode | {owned:.2f} |"
    yield f"| forwarded: at the pod that it came to | {forwarding:.2f} |"
    yield f"| forwarded: at its owner | {at_owner:.2f} |"
    yield from _everywhere(cluster, through_gateway(cluster))
