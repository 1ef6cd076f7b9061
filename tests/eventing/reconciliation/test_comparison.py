"""Holds the search for missing utterances, on both logs, to finding each of them and no other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from eventing import dead_letters, topics, topology
from eventing.reconciliation.comparison import Comparison, Found
from eventing.replica import free_port
from eventing.topology import Source
from infra.launcher import redis_server
from infra.launcher.tether import tethered
from linewatch import events, settings
from linewatch.eventlog import choice
from linewatch.eventlog.protocol import EventLog
from linewatch.eventlog.settings import LogSettings
from linewatch.events import Record
from tests.bench.sentiment_service import service
from tests.eventing.said import letter, score, utterance
from tests.support.kafka_broker import write_manifests
from tests.support.source import ROOT
from tests.support.waiting import eventually

_LATER_MS = 3_600_000


@dataclass
class Road:
    """A log with topics of its own, its source of utterances, and what a role is told of it."""

    log: EventLog
    source: Source
    scores: str
    env: dict[str, str]

    def say(self, *said, **told):
        """Publish utterances, by call and index; return their records."""
        made = [utterance(*each, topic=self.source.topic, **told) for each in said]
        self.log.publish(made)
        return made

    def score(self, *said):
        """Publish the scores of utterances."""
        self.log.publish([score(*each, topic=self.scores) for each in said])

    def bury(self, *records):
        """Publish the dead letters of *records*."""
        self.log.publish([letter(self.source, each) for each in records])

    def settle(self, topic="", group=""):
        """Let the source's group have settled everything there is."""
        topic = topic or self.source.topic
        ends = dict(self.log.settled(topic, "nobody"))
        for entry in self.log.between(topic, ends):
            ends[entry.partition] = entry.offset + 1
        self.log.settle(topic, group or self.source.group, ends)

    def records(self, topic=""):
        """Return every record of a topic."""
        topic = topic or self.source.topic
        found = self.log.between(topic, self.log.since(topic, 0))
        return [Record.of_fields(entry.fields) for entry in found]

    def partitions(self, topic):
        """Return the partitions in which *topic* has records."""
        return {entry.partition for entry in self.log.between(topic, self.log.since(topic, 0))}

    def run(self, most=20_000, a_run=50_000, **told):
        """Compare; return what was found, and the ids that were told."""
        names = []
        comparison = Comparison(self.log, self.source, self.scores, most, a_run)
        found = comparison.run(
            lambda entry: names.append(_name(entry.fields)), now_ms=_now_ms(), **told
        )
        return found, sorted(names)


def _now_ms():
    return round(time.time() * 1000)


def _name(fields):
    call, event_id = fields[b"key"].decode(), fields[b"ce_id"].decode()
    return call, int(event_id.partition("-")[0]) // 96_000


@pytest.fixture(name="road", params=["redis", "kafka"])
def _road(request, tmp_path):
    env = {"REDIS_URL": request.getfixturevalue("redis_url")}
    known = topology.load()
    if request.param == "kafka":
        write_manifests(tmp_path)
        env |= {**request.getfixturevalue("kafka").env, "MANIFESTS": str(tmp_path)}
        assert topics.main(env) == 0
        known = topology.load(tmp_path)
    source = known.source("sentiment")
    with contextlib.closing(choice.open_log(settings.load(LogSettings, env), 60)) as event_log:
        yield Road(event_log, source, known.sinks["scores"], env)


def test_scored_and_buried_are_not_missing(road):
    """What has a score or a dead letter is not missing, nor what has no words."""
    said = [(f"call-{n}", n) for n in range(30)]
    made = road.say(*said)
    road.say(("quiet", 0), text="  ")
    road.score(*said[:20])
    road.bury(*made[20:])
    road.settle()
    assert road.run() == (Found(0, 0), [])


def test_missing_is_told(road):
    """Each utterance that has neither is told, by its name, in whatever partition it lies."""
    said = [(f"call-{n % 7}", n) for n in range(60)]
    made = road.say(*said)
    lost = said[5::12]
    road.score(*(each for each in said[:40] if each not in lost))
    road.bury(*(each for each, name in zip(made, said, strict=True) if name in said[40:]))
    road.settle()
    expected = sorted(each for each in lost if each in said[:40])
    assert len(expected) == 3
    found, told = road.run()
    assert (found, told) == (Found(3, 0), expected)
    assert not found.is_right
    assert len(road.records()) == 60


@pytest.mark.parametrize("most", [1, 3, 7])
def test_batches_find_the_same(road, most):
    """However few are compared at a time, what is found is the same."""
    said = [(f"call-{n % 5}", n) for n in range(24)]
    road.say(*said)
    road.score(*said[::2])
    road.settle()
    assert road.run(most=most) == (Found(12, 0), sorted(said[1::2]))


def test_other_partition_is_looked_at(road):
    """A score is found that its writer has put into another partition than the utterance."""
    road.say(("a", 0))
    made = score("a", 0, topic=road.scores)
    road.log.publish([dataclasses.replace(made, key="other")])
    assert road.partitions(road.scores).isdisjoint(road.partitions(road.source.topic))
    road.settle()
    assert road.run() == (Found(0, 0), [])


def test_long_log_takes_several_runs(road):
    """A run looks at so many utterances of a partition, and the next one goes on there."""
    said = [("a", n) for n in range(7)]
    road.say(*said)
    road.settle()
    found = [road.run(a_run=3, deliver=True)[1] for _ in range(4)]
    assert found == [said[:3], said[3:6], said[6:], []]
    road.settle()
    assert road.run(a_run=3, everything=True) == (Found(7, 0), said)


def test_unsettled_is_not_missing(road):
    """What the group has not settled is still delivered, or tried again."""
    road.say(("a", 0))
    road.settle()
    road.say(("a", 1))
    assert road.run() == (Found(1, 0), [("a", 0)])


def test_group_that_never_read_misses_nothing(road):
    """Before the group has read anything, nothing can be missing."""
    road.say(("a", 0), ("b", 0))
    assert road.run(deliver=True) == (Found(0, 0), [])


def test_delivered_again_is_equal_and_once(road):
    """A missing record is published again with equal bytes, and the next run leaves it alone."""
    said = [("a", 0), ("a", 1), ("b", 0)]
    made = road.say(*said)
    road.score(("a", 1))
    road.settle()
    assert road.run(deliver=True) == (Found(2, 2), [("a", 0), ("b", 0)])
    assert sorted(road.records(), key=_order) == sorted([*made, made[0], made[2]], key=_order)
    for everything in (False, True):
        assert road.run(deliver=True, everything=everything) == (Found(0, 0), [])
    assert len(road.records()) == 5


def _order(record):
    return record.key, record.headers["ce_id"]


def test_lost_again_is_found_again(road):
    """What was delivered again, was settled and has nothing still is missing once more."""
    road.say(("a", 0))
    road.settle()
    assert road.run(deliver=True) == (Found(1, 1), [("a", 0)])
    road.settle()
    assert road.run(deliver=True) == (Found(1, 1), [("a", 0)])
    road.settle()
    road.score(("a", 0))
    assert road.run(deliver=True) == (Found(0, 0), [])


def test_only_new_is_read(road, monkeypatch):
    """A run begins where the last one that left nothing missing ended."""
    road.say(("a", 0))
    road.settle()
    assert road.run() == (Found(1, 0), [("a", 0)])
    assert road.run() == (Found(1, 0), [("a", 0)])
    road.score(("a", 0))
    assert road.run() == (Found(0, 0), [])
    road.say(("b", 0))
    road.score(("b", 0))
    road.settle()
    read = []
    between = road.log.between

    def noting(topic, *span):
        for entry in between(topic, *span):
            read.append((topic, _name(entry.fields)))
            yield entry

    monkeypatch.setattr(road.log, "between", noting)
    assert road.run() == (Found(0, 0), [])
    assert (road.source.topic, ("b", 0)) in read
    assert (road.source.topic, ("a", 0)) not in read
    assert road.run(everything=True) == (Found(0, 0), [])
    assert (road.source.topic, ("a", 0)) in read


def test_replayed_letter_tells_no_more(road):
    """An utterance whose dead letter was replayed, and that was lost then, is missing."""
    (made,) = road.say(("a", 0))
    road.bury(made)
    road.settle()
    assert road.run() == (Found(0, 0), [])
    (dead,) = road.log.letters(road.source.dead_letters)
    road.log.publish([made])
    road.log.replayed(road.source.dead_letters, dead)
    assert road.run() == (Found(0, 0), [])
    road.settle()
    assert road.run() == (Found(1, 0), [("a", 0)])


def test_young_waits_for_its_answer(road):
    """With an age, as a Broker needs it, what is younger is looked at later."""
    road.say(("a", 0))
    road.settle()
    assert road.run(age_s=3600) == (Found(0, 0), [])
    time.sleep(0.05)
    assert road.run(age_s=0.01) == (Found(1, 0), [("a", 0)])


def test_what_the_log_dropped_is_no_alarm(road, monkeypatch):
    """An utterance is not looked at whose score may have been dropped already."""
    road.say(("a", 0))
    road.settle()
    monkeypatch.setattr(road.log, "kept_since_ms", lambda topic: _now_ms() + _LATER_MS)
    assert road.run(everything=True) == (Found(0, 0), [])


def test_command_says_how_many(road, capsys):
    """The command names each event, never its words; its status tells whether any is left."""
    assert dead_letters.main(["missing"], road.env) == 0
    assert capsys.readouterr().out == "0 missing\n"
    road.say(("a", 0), text="my secret")
    road.settle()
    assert dead_letters.main(["missing"], road.env) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("sentiment ")
    assert first.endswith(f"{events.UTTERANCE_FINAL} {_source('a')} 0-final")
    assert last == "1 missing, 0 delivered again"
    assert dead_letters.main(["missing", "--deliver"], road.env) == 0
    said = capsys.readouterr().out
    assert said.endswith("1 missing, 1 delivered again\n")
    assert "secret" not in said
    assert dead_letters.main(["missing", "--all", "--source", "sentiment"], road.env) == 0


def _source(call):
    return f"/tenants/default/calls/{call}/channels/customer"


def test_other_source_cannot_be_compared(redis_url, capsys):
    """The board answers no event with one of its own: it is refused by name."""
    told = {"REDIS_URL": redis_url}
    assert dead_letters.main(["missing", "--source", "board-calls"], told) == 2
    assert "use --source sentiment" in capsys.readouterr().err


@contextlib.contextmanager
def _running(road, module, port):
    command = [sys.executable, "-m", f"eventing.{module}"]
    told = {"PYTHONPATH": f"{ROOT}/functions:{ROOT}", "PORT": str(port), **road.env}
    process = subprocess.Popen(
        tethered(command, signal.SIGKILL), cwd=ROOT, env={**os.environ, **told}
    )
    try:
        yield eventually(lambda: redis_server.is_listening(port))
    finally:
        process.terminate()
        process.wait()


def test_ten_holes_are_scored(road, capsys, monkeypatch):
    """Of a log with ten holes ten are found and scored by the real function, then none."""
    said = [(f"call-{n % 20}", n) for n in range(200)]
    holes = said[7::20]
    road.say(*said)
    road.score(*(each for each in said if each not in holes))
    road.settle()
    assert dead_letters.main(["missing", "--deliver"], road.env) == 0
    assert capsys.readouterr().out.endswith("10 missing, 10 delivered again\n")
    sink = free_port()
    with (
        _running(road, "sink", sink),
        service(f"http://127.0.0.1:{sink}/scores") as function,
    ):
        monkeypatch.setitem(road.env, "K_SINK", f"http://127.0.0.1:{function.port}")
        monkeypatch.setitem(road.env, "SOURCE", "sentiment")
        with _running(road, "dispatcher", free_port()):
            eventually(lambda: len(road.records(road.scores)) == 200)
            eventually(lambda: road.log.lags(road.source.topic, [road.source.group]) == (0,))
    names = {(each.key, each.headers["ce_id"]) for each in road.records(road.scores)}
    assert len(names) == 200
    for more in ([], ["--all"]):
        assert dead_letters.main(["missing", *more], road.env) == 0
        assert capsys.readouterr().out == "0 missing\n"
