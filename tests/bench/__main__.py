"""Every figure of the README, in the order it stands there: ``python -m tests.bench [name ...]``.

Each bench runs in a process of its own, so that none finds the machine or its imports as
another left them. The exit status counts the benches that missed a limit.
"""

import subprocess
import sys
import time

BENCHES = (
    "bench_decode",
    "bench_demo_calls",
    "bench_service",
    "bench_cold_start",
    "bench_sentiment",
    "bench_board",
    "bench_road",
    "bench_kafka",
)


def main(names):
    """Run the benches *names*, or all; print how long each took."""
    missed = 0
    for name in names or BENCHES:
        begun = time.monotonic()
        print(f"== {name}", flush=True)
        missed += (
            subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
            != 0
        )
        print(f"== {name} took {time.monotonic() - begun:.0f} s\n", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
