"""Old and new owner with different digests: whose words are they after an adoption?

Equal digests make a zombie's write the right write, so only different ones show the fence.
"""

from __future__ import annotations

import os
import signal
import time

from linewatch import keys
from linewatch.events import PARTITIONS
from tests.chaos.crowd import Crowd
from tests.chaos.kills import BRIEF
from tests.chaos.rig import READY_S, rig
from tests.chaos.verdict import Verdict, judged
from tests.chaos.zombies import MOVE_S, READ_S, SPRING_S
from tests.support.waiting import eventually

OLD, NEW = "digest-old", "digest-new"
POINTS = ("before-commit", "committed", "decoded", "before-reply")


def digests(chance, each):
    """Let *each* owners of the old digest become zombies at every point, one rig for each.

    Returns:
        The verdict; *doubled* counts utterances of the old digest after one of the new.
    """
    total = Verdict()
    for point in (point for point in POINTS for _ in range(each)):
        total += _one(chance, point)
    return total


def _one(chance, point):
    with rig(1, CHAOS_READ_S=str(READ_S), CHAOS_DIGEST=OLD) as site:
        (zombie,) = site.fleet.decoders
        urls = [zombie.url]
        with Crowd(urls, chance, count=1, speed=3.0, scripts=BRIEF, read_s=READ_S) as crowd:
            eventually(lambda: len(crowd.ear.answers) > 4, SPRING_S, what="the call has begun")
            site.fleet.start(1, CHAOS_DIGEST=NEW)
            crowd.reach(site.fleet.urls)
            zombie.trap.arm(point)
            whose = eventually(zombie.trap.sprung, SPRING_S, what=f"a step came by {point}")
            eventually(zombie.is_stopped, 5, what="the decoder stands still")
            pod = site.pod_of(zombie)
            site.client.delete(keys.pod(pod))
            eventually(lambda: site.owner(whose) != pod, MOVE_S, what="the session is adopted")
            os.kill(zombie.worker, signal.SIGCONT)
            eventually(lambda: site.pod_of(zombie), READY_S, what="the lease is back")
            time.sleep(0.5)
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd, without=(b"ce_modeldigest",))
        return verdict + Verdict(lost=not said, doubled=_old_after_new(site))


def _old_after_new(site):
    """Count first occurrences of the old digest behind the new one, channel by channel."""
    new, seen, found = set(), set(), 0
    for partition in range(PARTITIONS):
        for _, record in site.client.xrange(keys.log("utterances", partition)):
            source, digest = record[b"ce_source"], record[b"ce_modeldigest"].decode()
            if (source, record[b"ce_id"]) in seen:
                continue
            seen.add((source, record[b"ce_id"]))
            if digest == NEW:
                new.add(source)
            found += digest == OLD and source in new
    # Both must have spoken, else nothing was shown.
    return found + (not new)
