"""Who owns which call, asked inside the cluster by the demos' own reader."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster.kube import ROOT, eventually


@dataclass(frozen=True, slots=True)
class Spread:
    """Every decoder's sessions and id by its address, and every live channel's moves."""

    sessions: dict
    ids: dict
    channels: dict

    def moves(self, call):
        """Return how often a call's channels moved."""
        return {each for name, each in self.channels.items() if name.startswith(f"{call}/")}


def _told(cluster):
    script = (ROOT / "infra" / "cluster_demos" / "sessions.py").read_text()
    pod = next((each for each in cluster.pods_of("decoder") if each.ready), None)
    # A busy node may be slower than the store's time-out, and a pod may just end.
    return cluster.python(pod, script, check=False) if pod else ""


def look(cluster):
    """Return the spread of the calls now."""
    told = [line.split() for line in eventually(lambda: _told(cluster), 60).splitlines()]
    pods = [words for kind, *words in told if kind == "pod"]
    channels = [words for kind, *words in told if kind == "session"]
    return Spread(
        {address: int(count) for _, address, count in pods},
        {address: pod_id for pod_id, address, _ in pods},
        {name: int(moves) for name, moves, *_ in channels},
    )


def are_live(cluster, calls):
    """Tell whether a decoder owns every channel."""
    ids = {call.call for call in calls}
    channels = [name for name in look(cluster).channels if name.split("/")[0] in ids]
    return len(channels) == sum(len(call.audio) for call in calls)
