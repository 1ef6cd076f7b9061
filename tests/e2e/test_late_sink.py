"""A function whose sink is found late, as a SinkBinding finds it: nothing is lost meanwhile."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

import pytest

from infra.launcher import probes
from infra.launcher.redis_server import free_port
from linewatch import keys
from linewatch.events import PARTITIONS
from tests.bench.sentiment_service import command
from tests.chaos.delivery import length, publish, running, started, utterance
from tests.chaos.rig import rig
from tests.support.waiting import eventually

CALLS, EACH = 20, 10
#: How long the function runs without K_SINK, and then the sink's process is not there.
LATE_S = float(os.environ.get("LATE_S", "2"))
#: Of a source's back-off, which grows by a second each time.
LONGEST_WAIT_S = 25


def function(site, port, **env):
    """Run the sentiment function of one revision."""
    _, *words = command(port)
    return started(site, "sentiment", *words, **env)


def scored(site):
    """Return what tells the scores in the topic apart."""
    streams = [keys.log("scores", partition) for partition in range(PARTITIONS)]
    entries = [fields for stream in streams for _, fields in site.client.xrange(stream)]
    return {(fields[b"ce_source"], fields[b"ce_id"]) for fields in entries}


@pytest.mark.timeout(600 + 4 * LATE_S)
def test_late_sink_loses_nothing():
    """200 utterances that came before K_SINK, and before the sink, are all scored: none is dead."""
    port, sink = free_port(), free_port()
    with ExitStack() as stack:
        site = stack.enter_context(rig(0))
        publish(site, [utterance(f"late-{c}", i) for c in range(CALLS) for i in range(EACH)])
        url = f"http://127.0.0.1:{port}"
        stack.enter_context(running(site, "dispatcher", SOURCE="sentiment", SERVICE_URL=url))
        with function(site, port):
            eventually(probes.answers(port, "/health/liveness"))
            time.sleep(LATE_S)
            assert not probes.answers(port, "/health/readiness")()
            assert not scored(site)
        stack.enter_context(function(site, port, K_SINK=f"http://127.0.0.1:{sink}/scores"))
        time.sleep(LATE_S)
        stack.enter_context(running(site, "sink", PORT=str(sink)))
        within_s = 60 + 2 * LATE_S + LONGEST_WAIT_S
        eventually(lambda: len(scored(site)) == CALLS * EACH, within_s)
        assert length(site, "dead-sentiment") == 0
