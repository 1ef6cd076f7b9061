"""What promises.md asks of a long run, case by case: the short run's faults, more of each."""

from __future__ import annotations

from functools import partial

from tests.chaos import cases, dashboard, functions, outage, overload, receiver, trickle

#: Redis starts and senders come back in the rest of the 30 s that a line's ring holds.
DOWN_S = 27.0

DOSES = {
    "redis-killed": partial(cases.redis_killed, down_s=DOWN_S),
    "stale-replica": partial(cases.stale_replica, times=20),
    "relay-kills": partial(cases.relay_kills, times=200),
    "terminated": partial(cases.terminated, times=20),
    "dashboard-kills": partial(dashboard.killed, times=20),
    "kafka-down": partial(outage.kafka_down, down_s=60.0),
    "function-kills": partial(functions.killed, rounds=50, each=250),
    "receiver-refusing": partial(receiver.refusing, down_s=120.0),
    "receiver-hanging": partial(receiver.hanging, down_s=120.0),
    "receiver-dying": partial(receiver.dying, down_s=120.0),
    "overload": partial(overload.overload, for_s=60.0),
    "trickle": partial(trickle.trickled, for_s=60.0),
    "store-faults": partial(cases.store_faults, chunks=200_000),
}
