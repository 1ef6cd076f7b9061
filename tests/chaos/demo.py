"""``make chaos-demo``: the demo runs and its dashboard shows it, while decoders are killed.

Every ``EVERY_S`` (10) seconds one decoder gets a SIGKILL; after each one stands how many
sessions were adopted so far and how many gaps were published: audio that was lost.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis

from infra.launcher.tether import tethered
from linewatch import keys
from linewatch.events import PARTITIONS
from tests.support.decoders import ROOT

DECODER = "linewatch.decoder.app:create()"


def children(pid):
    """Return the pids of *pid*'s children."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []


def is_decoder(pid):
    """Tell whether *pid* is the master of a decoder."""
    try:
        return DECODER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def gaps(client):
    """Count the gaps published so far."""
    return sum(
        record.get(b"ce_type") == b"linewatch.call.gap.v1"
        for partition in range(PARTITIONS)
        for _, record in client.xrange(keys.log("calls", partition))
    )


class Toll:
    """What the killing cost so far."""

    def __init__(self, client):
        self._client = client
        self._adoptions = {}
        self.kills = 0

    def look(self):
        """Take in what the living decoders tell; their counters die with them."""
        for pod in self._client.smembers(keys.PODS):
            told = self._client.hget(keys.pod(pod.decode()), "adoptions")
            if told:
                self._adoptions[pod] = int(told)

    def __str__(self):
        adopted = sum(self._adoptions.values())
        return f"kills {self.kills}, sessions adopted {adopted}, gaps {gaps(self._client)}"


def killing(launcher, redis_url, every_s, chance):
    """Kill a decoder's worker every *every_s* while *launcher* runs."""
    with redis.Redis.from_url(redis_url) as client:
        toll = Toll(client)
        due_s = time.monotonic() + every_s
        while launcher.poll() is None:
            time.sleep(0.5)
            toll.look()
            if time.monotonic() < due_s:
                continue
            due_s += every_s
            masters = filter(is_decoder, children(launcher.pid))
            workers = [pid for master in masters for pid in children(master)]
            if workers:
                os.kill(chance.choice(workers), signal.SIGKILL)
                toll.kills += 1
            print(f"chaos        {toll}", flush=True)


def told_url(launcher):
    """Pass the launcher's lines on until it says where everything is kept; return that."""
    for line in launcher.stdout:
        print(line, end="", flush=True)
        found = re.search(r"REDIS_URL=(\S+)", line)
        if found:
            return found[1]
    return None


def main():
    """Run the demo and the killing until Ctrl-C."""
    command = tethered([sys.executable, "-u", "-m", "infra.local"], signal.SIGTERM)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as launcher:
        url = told_url(launcher)
        if url is None:
            return launcher.wait()
        passing = subprocess.Popen(["cat"], stdin=launcher.stdout)
        every_s = float(os.environ.get("EVERY_S", "10"))
        try:
            killing(launcher, url, every_s, random.Random(0))
        except KeyboardInterrupt:
            launcher.send_signal(signal.SIGINT)
        passing.wait()
        return launcher.wait()


if __name__ == "__main__":
    sys.exit(main())
