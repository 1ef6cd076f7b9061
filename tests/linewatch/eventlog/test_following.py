"""Following a topic, on Redis and on Kafka: every event once settled, none lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest

from linewatch import eventlog, events
from linewatch.calls import CallStart
from linewatch.errors import SettingsError
from linewatch.eventlog.choice import open_log
from linewatch.eventlog.settings import LogSettings
from linewatch.events import Record
from linewatch.settings import load
from tests.eventing.subscriber import until
from tests.support.kafka_broker import unique
from tests.support.source import ROOT

COUNT = 12
#: A reader that writes down each id before it asks for the next one, and is slow.
_READER = """
import sys, time
from linewatch import eventlog
for event in eventlog.follow({topic!r}, "readers"):
    print(event.get_id(), flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(name="place", params=["redis", "kafka"])
def _place(request, redis_url):
    """Where the log is, and a topic of this test's own."""
    topic = unique("calls")
    if request.param == "redis":
        return {"REDIS_URL": redis_url}, topic
    broker = request.getfixturevalue("kafka")
    broker.make_topics(topic)
    return {**broker.env, "REDIS_URL": redis_url}, topic


@pytest.fixture(name="publish")
def _publish(place):
    """Write events of *count* calls to the topic."""
    env, topic = place
    log = open_log(load(LogSettings, env))

    def publish(count, first=0):
        starts = [CallStart("default", f"call-{first + n}", "7", n) for n in range(count)]
        made = [events.call_started(start) for start in starts]
        log.publish([events.to_record(event, topic) for event in made])
        return {event.get_id() for event in made}

    publish.log = log
    yield publish
    log.close()


def ids(following, count):
    """Take *count* events and return their ids."""
    return [event.get_id() for event in itertools.islice(following, count)]


def test_group_reads_all(place, publish):
    """A new group gets what the log holds, oldest first in a call, and what comes later."""
    env, topic = place
    before = publish(COUNT)
    following = eventlog.follow(topic, "a", env=env)
    assert set(ids(following, COUNT)) == before
    later = publish(COUNT, first=COUNT)
    assert set(ids(following, COUNT)) == later
    following.close()
    other = eventlog.follow(topic, "b", env=env)
    assert set(ids(other, 2 * COUNT)) == before | later
    other.close()


def test_settled_by_asking_for_next(place, publish):
    """What was asked past is settled; the event in work when the reader leaves comes again."""
    env, topic = place
    everything = publish(COUNT)
    following = eventlog.follow(topic, "a", env=env)
    seen = ids(following, 5)
    following.close()
    again = eventlog.follow(topic, "a", env=env)
    rest = ids(again, COUNT - 4)
    again.close()
    assert set(seen) | set(rest) == everything
    assert set(seen) & set(rest) == {seen[-1]}


def test_events_are_whole(place, publish):
    """What comes out is the event that was published."""
    env, topic = place
    event = events.call_started(CallStart("default", "whole", "7", 1, "Sam", "billing"))
    publish.log.publish([events.to_record(event, topic)])
    following = eventlog.follow(topic, "a", env=env)
    found = next(following)
    following.close()
    assert found.get_attributes() == event.get_attributes()
    assert found.get_data() == event.get_data()


def test_unreadable_record_is_skipped(place, publish, caplog):
    """What is no CloudEvent is skipped with a warning that names its place."""
    env, topic = place
    publish.log.publish([Record(topic, "call-0", {}, b"?")])
    (wanted,) = publish(1)
    following = eventlog.follow(topic, "a", env=env)
    assert next(following).get_id() == wanted
    following.close()
    assert f"no CloudEvent, skipped: {topic}, partition" in caplog.text


def reader(env, topic):
    """Start a process that follows the topic and writes down what it sees."""
    code = _READER.format(topic=topic)
    told = {**os.environ, "PYTHONPATH": f"{ROOT}/functions:{ROOT}", **env}
    return subprocess.Popen([sys.executable, "-c", code], env=told, stdout=subprocess.PIPE)


def collect(process, into):
    """Note what a reader writes, on a thread of its own."""

    def read():
        for line in process.stdout:
            into.append(line.decode().strip())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


@pytest.mark.timeout(300)
def test_killed_reader_loses_nothing(place, publish):
    """Of two members one is killed amid its work: the other gets everything it had not settled."""
    env, topic = place
    wanted = publish(8 * COUNT)
    first, second = [], []
    doomed, heir = reader(env, topic), reader(env, topic)
    threads = [collect(doomed, first), collect(heir, second)]
    until(lambda: len(first) + len(second) > COUNT, within_s=90)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    until(lambda: set(first) | set(second) == wanted, within_s=120)
    heir.kill()
    heir.wait()
    for thread in threads:
        thread.join(10)
    doomed.stdout.close()
    heir.stdout.close()


def test_missing_topic_is_told(kafka, redis_url):
    """A topic that Kafka has not is told with what to do, not waited for without an end."""
    env = {**kafka.env, "REDIS_URL": redis_url, "KAFKA_TOPICS_S": "0"}
    with pytest.raises(SettingsError, match="has no topic nowhere"):
        next(eventlog.follow("nowhere", "a", env=env))
