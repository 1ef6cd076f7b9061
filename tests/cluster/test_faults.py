"""What must not stop the calls: an event nobody can read, and Kafka away."""

from __future__ import annotations

import time

import pytest

from linewatch import events
from tests.cluster import deployment
from tests.cluster.kube import eventually
from tests.cluster.lines import TOPICS, Playing, calls_of, changed, line_of
from tests.cluster.topics import DEAD

OUTAGE_S = 15


def poison(call):
    """Return the headers of an utterance whose data will be no JSON."""
    return {
        "ce_specversion": b"1.0",
        "ce_type": events.UTTERANCE_FINAL.encode(),
        "ce_source": f"/tenants/default/calls/{call}/channels/customer".encode(),
        "ce_id": b"0-final",
        "ce_subject": call.encode(),
        "ce_partitionkey": call.encode(),
        "content-type": b"application/json",
    }


def test_poison_is_set_aside(topics, run):
    """An utterance that is no JSON lies in the dead-letter topic once, with the reason."""
    topics.put("utterances", run.encode(), b"{broken", poison(run))

    def dead():
        return [record for record in topics.records(DEAD) if record.key == run.encode()]

    (record,) = eventually(dead, 60)
    told = dict(record.headers)
    assert record.value == b"{broken"
    assert told["ce_knativeerrorcode"] in {b"400", b"422"}
    assert told["ce_reason"]
    # A second delivery would come within the first retry's backoff.
    time.sleep(5)
    assert len(dead()) == 1


@pytest.mark.timeout(600)
def test_kafka_comes_back(cluster, topics, gate, one_machine, run):
    """Kafka stopped for 15 s amid calls: every event is there afterwards, and scored."""
    if not cluster.is_box:
        pytest.skip("only the box's own broker may be stopped")
    calls = calls_of(run, 2, 45)
    ids = {call.call for call in calls}
    with Playing(calls, [line_of(call, gate) for call in calls]) as playing:
        time.sleep(10)
        deployment.kafka(cluster, "down")
        try:
            time.sleep(OUTAGE_S)
        finally:
            deployment.kafka(cluster, "up")
        playing.end()
    expected = one_machine(calls)

    def all_scored():
        return len(topics.published("scores", ids)) == len(expected["utterances"])

    eventually(all_scored, 120)
    assert changed({topic: topics.published(topic, ids) for topic in TOPICS}, expected) == []
