"""Measure on the cluster: ``python -m tests.cluster.bench [cold] [memory] [chunk]``."""

from __future__ import annotations

import sys

from tests.cluster import deployment, kube
from tests.cluster.bench import chunk, cold, memory

BENCHES = {"memory": memory.measure, "chunk": chunk.measure, "cold": cold.measure}


def main(names):
    """Run the benches named, or all."""
    unknown = set(names) - BENCHES.keys()
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}: name some of {', '.join(BENCHES)}")
    try:
        cluster = kube.connect()
    except kube.Unusable as error:
        sys.exit(f"nothing can be measured: {error}")
    deployment.deploy(cluster, "box", deployment.image(cluster))
    for name in names or BENCHES:
        sys.stdout.write(f"\n## {name}\n")
        for line in BENCHES[name](cluster):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
