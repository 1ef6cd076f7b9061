"""Following a topic, on Redis and on Kafka: every event once settled, none lost."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from eventing import topics, topology
from eventing.dispatcher import Dispatcher, DispatcherSettings
from linewatch import eventlog, events
from linewatch.calls import CallStart
from linewatch.errors import SettingsError
from linewatch.eventlog import kafka_member
from linewatch.eventlog import redis as redis_log
from linewatch.eventlog.choice import open_log
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.settings import LogSettings
from linewatch.events import Record
from linewatch.settings import load
from tests.eventing.subscriber import Subscriber
from tests.support.kafka_broker import unique, write_manifests
from tests.support.source import ROOT
from tests.support.waiting import eventually

COUNT = 12
#: A reader that writes down each call before it asks for the next event, and is slow.
_READER = """
import time
from linewatch import eventlog
for event in eventlog.follow({topic!r}, {group!r}):
    print(event.get_subject(), flush=True)
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
    """Write the start of *count* calls to the topic, and return the calls."""
    env, topic = place
    log = open_log(load(LogSettings, env))

    def publish(count, first=0, topic=topic):
        starts = [CallStart("default", f"call-{first + n}", "7", n) for n in range(count)]
        made = [events.call_started(start) for start in starts]
        log.publish([events.to_record(event, topic) for event in made])
        return {event.get_subject() for event in made}

    publish.log = log
    yield publish
    log.close()


def calls(following, count):
    """Take *count* events and return their calls."""
    return [event.get_subject() for event in itertools.islice(following, count)]


def test_group_reads_all(place, publish):
    """A new group gets what the log holds, oldest first in a call, and what comes later."""
    env, topic = place
    before = publish(COUNT)
    following = eventlog.follow(topic, "a", env=env)
    assert set(calls(following, COUNT)) == before
    later = publish(COUNT, first=COUNT)
    assert set(calls(following, COUNT)) == later
    following.close()
    other = eventlog.follow(topic, "b", env=env)
    assert set(calls(other, 2 * COUNT)) == before | later
    other.close()


def test_settled_by_asking_for_next(place, publish):
    """What was asked past is settled; the event in work when the reader leaves comes again."""
    env, topic = place
    everything = publish(COUNT)
    following = eventlog.follow(topic, "a", env=env)
    seen = calls(following, 5)
    following.close()
    again = eventlog.follow(topic, "a", env=env)
    rest = calls(again, COUNT - 4)
    again.close()
    assert set(seen) | set(rest) == everything
    assert set(seen) & set(rest) == {seen[-1]}


@pytest.fixture(name="patient_groups")
def _patient_groups(monkeypatch):
    """Let a silent member of a group be taken for dead only after longer than a test may last."""
    monkeypatch.setattr(kafka_member, "_SESSION_S", 1500)
    monkeypatch.setattr(redis_log, "CLAIM_IDLE_MS", 1_500_000)
    claim = functools.partialmethod(RedisLog.claim, idle_ms=1_500_000)
    monkeypatch.setattr(RedisLog, "claim", claim)


def test_closed_follower_leaves_group(patient_groups, place, publish):
    """What a follower had in work as it was closed is another's at once, not after a time-out."""
    env, topic = place
    (wanted,) = publish(1)
    following = eventlog.follow(topic, "a", env=env)
    assert calls(following, 1) == [wanted]
    following.close()
    other = eventlog.follow(topic, "a", env=env)
    assert calls(other, 1) == [wanted]
    other.close()


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
    assert next(following).get_subject() == wanted
    following.close()
    assert f"no CloudEvent, skipped: {topic}, partition" in caplog.text


class Reader:
    """A process that follows the topic; `calls` is what it has seen."""

    def __init__(self, env, topic, group):
        code = _READER.format(topic=topic, group=group)
        whole = {**os.environ, "PYTHONPATH": f"{ROOT}/functions:{ROOT}", **env}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=whole, stdout=subprocess.PIPE, text=True
        )
        self.calls = []
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        for line in self.process.stdout:
            self.calls.append(line.strip())

    def kill(self):
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        self._thread.join(60)
        self.process.stdout.close()


@pytest.fixture(name="start")
def _start(place):
    """Start readers of the topic; they are killed at the end."""
    env, topic = place
    started = []

    def start(group="readers"):
        started.append(Reader(env, topic, group))
        return started[-1]

    yield start
    for each in started:
        if each.process.returncode is None:
            each.kill()


def publish_until(holds, publish):
    """Publish call after call until *holds*; return the calls."""
    published = set()

    def publish_one():
        published.update(publish(1, first=len(published)))
        time.sleep(0.02)
        return holds()

    eventually(publish_one, 90)
    return published


def test_killed_reader_loses_nothing(publish, start):
    """Of two members one is killed amid its work: the other gets everything it had not settled."""
    doomed, heir = start(), start()
    wanted = publish_until(lambda: len(doomed.calls) > 3 and len(heir.calls) > 3, publish)
    wanted |= publish(4 * COUNT, first=len(wanted))
    doomed.kill()
    assert set(doomed.calls) | set(heir.calls) < wanted
    eventually(lambda: set(doomed.calls) | set(heir.calls) == wanted, 120)


def test_killed_reader_goes_on(publish, start):
    """One that starts again after kill -9 gets at most the event again that was in work."""
    wanted = publish(4 * COUNT)
    killed = start()
    eventually(lambda: len(killed.calls) > COUNT, 90)
    killed.kill()
    again = start()
    eventually(lambda: set(killed.calls) | set(again.calls) == wanted, 120)
    assert set(killed.calls) & set(again.calls) <= {killed.calls[-1]}


def test_members_share_topic(publish, start):
    """What two members of one group are given is given to one of them, and once."""
    first, second = start(), start()
    before = publish_until(lambda: len(first.calls) > 3 and len(second.calls) > 3, publish)
    eventually(lambda: set(first.calls) | set(second.calls) == before)
    later = publish(4 * COUNT, first=len(before))
    eventually(lambda: later <= set(first.calls) | set(second.calls))
    shares = [[call for call in each.calls if call in later] for each in (first, second)]
    assert all(shares)
    assert sorted(shares[0] + shares[1]) == sorted(later)


@pytest.fixture(name="dispatcher")
def _dispatcher(place, tmp_path):
    """A dispatcher of manifests with topics of their own, and the topic and group of a source."""
    env, _ = place
    prefix = write_manifests(tmp_path)
    env = {**env, "MANIFESTS": str(tmp_path), "SOURCE": "sentiment"}
    if "KAFKA_BROKERS" in env:
        assert topics.main(env) == 0
    with Subscriber() as function:
        env["K_SINK"] = function.url
        dispatcher = Dispatcher(load(DispatcherSettings, env), topology.load(tmp_path))
        dispatcher.start()
        yield function, f"{prefix}-utterances", f"{prefix}-linewatch-sentiment"
        dispatcher.stop()
        dispatcher._log.close()


def test_follower_joins_running_function(place, publish, dispatcher):
    """One that joins the group of a running function gets its share, the function the rest."""
    env, _ = place
    function, topic, group = dispatcher
    reader = Reader(env, topic, group)

    def seen():
        return [request.call for request in function.requests] + reader.calls

    wanted = publish_until(
        lambda: len(reader.calls) > 3 and len(function.requests) > 3,
        lambda *one, **more: publish(*one, **more, topic=topic),
    )
    eventually(lambda: set(seen()) == wanted)
    reader.kill()
    wanted |= publish(COUNT, first=len(wanted), topic=topic)
    eventually(lambda: set(seen()) == wanted)
    eventually(lambda: publish.log.lags(topic, [group]) == (0,))


def test_same_name_keeps_order(redis_url):
    """In Redis one that died and starts again under its name gets a call's events in order."""
    env, topic = {"REDIS_URL": redis_url}, unique("calls")
    starts = [CallStart("default", "call", "7", n) for n in range(5)]
    with closing(open_log(load(LogSettings, env))) as log:
        log.publish([events.to_record(events.call_started(each), topic) for each in starts])
    # It is not closed: that would be no death.
    died = eventlog.follow(topic, "a", env=env, consumer="me")
    seen = [event.get_time() for event in itertools.islice(died, 2)]
    again = eventlog.follow(topic, "a", env=env, consumer="me")
    seen += [event.get_time() for event in itertools.islice(again, 4)]
    times = [events.at(each.started_at_ms) for each in starts]
    assert seen == [*times[:2], *times[1:]]
    again.close()
    died.close()


def test_missing_topic_is_told(kafka, redis_url):
    """A topic that Kafka has not is told with what to do, not waited for without an end."""
    env = {**kafka.env, "REDIS_URL": redis_url, "KAFKA_TOPICS_S": "0"}
    with pytest.raises(SettingsError, match="has no topic nowhere"):
        next(eventlog.follow("nowhere", "a", env=env))
