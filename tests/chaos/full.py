"""A Redis that is full, amid calls, with Kafka there and away: no event is published twice."""

from __future__ import annotations

import time
from collections import Counter

from linewatch import keys
from tests.chaos.crowd import UNAVAILABLE, Crowd
from tests.chaos.delivery import utterance
from tests.chaos.kills import BRIEF
from tests.chaos.outage import copies_in, kafka_rig
from tests.chaos.row import Row
from tests.chaos.verdict import Verdict, judged
from tests.support.waiting import eventually

#: Records that wait when Redis gets full, beside those of the calls.
WAITING = 2000
MOST_PUBLISHES = 1.05
#: Each record once more at the most, where a broker came back amid them.
MOST_REPEATS = 2.0
EMPTY_AIM_S = 5.0
PATIENCE_S = 60
#: Redis stays full for so long, so that what is published again and again shows.
FULL_S = 6.0
AWAY_S = 3.0


def redis_full(chance):
    """Let Redis be full for a while, first with Kafka there, then with Kafka coming back."""
    with kafka_rig(2) as (broker, site):
        with Crowd(site.fleet.urls, chance, count=4, speed=1.0, scripts=BRIEF) as crowd:
            time.sleep(2)
            took_s = [_filled(site, "there", lambda: None), _filled(site, "away", _back(broker))]
            said = crowd.finish()
        site.drain()
        verdict = judged(site.client, crowd, found=copies_in(broker, crowd))
        published = _published(broker)
    verdict += Verdict(lost=2 * WAITING - len(published) + (not said))
    return _row(verdict, crowd, took_s, published)


def _back(broker):
    broker.kill()

    def come():
        time.sleep(AWAY_S)
        broker.start()

    return come


def _filled(site, name, meanwhile):
    """Fill outbox and Redis, and return how long after *meanwhile* the outbox was empty."""
    with site.client.pipeline(transaction=False) as pipe:
        for number in range(WAITING):
            record = utterance(f"full-{name}-{number % 40}", number // 40)
            pipe.xadd(keys.outbox(record.partition), record.fields())
        pipe.config_set("maxmemory", 1)
        pipe.execute()
    full_s = time.monotonic()
    meanwhile()
    begun_s = time.monotonic()
    try:
        eventually(site.is_drained, PATIENCE_S, 0.02, what="the outbox of a full Redis is empty")
        took_s = time.monotonic() - begun_s
        time.sleep(max(0.0, full_s + FULL_S - time.monotonic()))
    finally:
        site.client.config_set("maxmemory", 0)
    return took_s


def _published(broker):
    """Return how often each of the records that waited was published."""
    return Counter(
        (record.key, record.headers["ce_id"])
        for record in broker.read("utterances")
        if record.key.startswith("full-")
    )


def _times(published, name):
    """Return how often a record of the part *name* was published, on average."""
    part = [times for (key, _), times in published.items() if key.startswith(f"full-{name}-")]
    return sum(part) / (len(part) or 1)


def _row(verdict, crowd, took_s, published):
    there, away = _times(published, "there"), _times(published, "away")
    refused = sum(answer.status == UNAVAILABLE for answer in list(crowd.ear.answers))
    there_s, away_s = took_s
    late = f"empty later than {EMPTY_AIM_S:.0f} s" if max(took_s) > EMPTY_AIM_S else ""
    # What a broker took and could not acknowledge when it came back is sent to it once more.
    repeats = f"more than {MOST_PUBLISHES} publishes a record" if away > MOST_PUBLISHES else ""
    return Row(
        "redis-full",
        8,
        f"Redis 100% full, {WAITING} events waiting, Kafka there, then away",
        1,
        verdict,
        f"{there:.2f} publishes a record, {away:.2f} with Kafka away; outbox empty {there_s:.1f} s"
        f" after, {away_s:.1f} s after Kafka answered; audio refused 503 {refused} times",
        passed=there <= MOST_PUBLISHES and away <= MOST_REPEATS and refused > 0,
        open=" and ".join(filter(None, (late, repeats))),
    )
