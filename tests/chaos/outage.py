"""Kafka killed amid calls: the outbox grows, drains in order, and holds no call up."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path

from linewatch import keys
from linewatch.events import PARTITIONS
from linewatch.events import TOPICS as BY_TYPE
from tests.chaos.crowd import Crowd
from tests.chaos.kills import BRIEF
from tests.chaos.rig import rig
from tests.chaos.row import Row, quantile
from tests.chaos.verdict import TOPICS, Verdict, judged
from tests.support.kafka_broker import Broker
from tests.support.waiting import eventually

CAUGHT_UP = 5
BACK_S = 60
DRAIN_AIM_S = 10.0


@contextmanager
def kafka_rig(pods):
    """Run *pods* decoders that publish to a Kafka of their own; gives it and them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-kafka-")))
        broker = Broker(folder)
        stack.callback(broker.stop)
        broker.start()
        broker.make_topics(*sorted(set(BY_TYPE.values())))
        yield broker, stack.enter_context(rig(pods, **broker.env))


def kafka_down(chance, down_s=10.0):
    """Kill the broker for *down_s* while ten calls go on at 1x."""
    with kafka_rig(2) as (broker, site):
        with Crowd(site.fleet.urls, chance, count=10, speed=1.0, scripts=BRIEF) as crowd:
            marks = _cut(site, broker, down_s)
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd, found=copies_in(broker, crowd)) + Verdict(
            lost=not said
        )
    return _row(verdict, crowd, marks, down_s)


def _cut(site, broker, down_s):
    time.sleep(5)
    marks = {"down_s": time.monotonic()}
    broker.kill()
    time.sleep(down_s)
    marks |= {"up_s": time.monotonic(), "waiting": _waiting(site)}
    broker.start()
    answers_s = time.monotonic()
    eventually(lambda: _waiting(site) <= CAUGHT_UP, BACK_S, what="the outbox drains", every_s=0.02)
    return {**marks, "drained_s": time.monotonic() - answers_s}


def _waiting(site):
    return sum(site.client.xlen(keys.outbox(partition)) for partition in range(PARTITIONS))


def copies_in(broker, crowd):
    """Return topic -> (source, id) -> every copy of *crowd*'s events that Kafka has."""
    found = {topic: defaultdict(list) for topic in TOPICS}
    for topic in TOPICS:
        for record in broker.read(topic):
            if record.key in crowd.scripts:
                fields = {name.encode(): value for name, value in record.fields().items()}
                name = (fields[b"ce_source"], fields[b"ce_id"])
                found[topic][name].append(tuple(sorted(fields.items())))
    return found


def _row(verdict, crowd, marks, down_s):
    before = crowd.replies_s(until_s=marks["down_s"])
    during = crowd.replies_s(marks["down_s"], marks["up_s"])
    calm_ms, cut_ms = 1000 * quantile(before, 0.5), 1000 * quantile(during, 0.5)
    late = marks["drained_s"] > DRAIN_AIM_S
    return Row(
        "kafka-down",
        8,
        f"Kafka killed, back after {down_s:.0f} s",
        1,
        verdict,
        f"{marks['waiting']} events waited, drained {marks['drained_s']:.1f} s after it answered,"
        f" equal repeats {verdict.repeats}; reply p50 {cut_ms:.1f} ms, {calm_ms:.1f} before",
        passed=marks["waiting"] > 0,
        open=f"drained later than {DRAIN_AIM_S:.0f} s" if late else "",
    )
