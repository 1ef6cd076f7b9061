"""A consumer group that is away, and dead letters that cannot be written: nothing is dropped."""

from __future__ import annotations

import random
from contextlib import ExitStack

from linewatch import keys
from linewatch.calls import Channel, ChannelKey, Chunk, Codec
from linewatch.gateway.decoders import Decoders
from linewatch.step_requests import ChannelRequests
from tests.chaos.crowd import OK, UNAVAILABLE, Crowd
from tests.chaos.delivery import Target, length, names, publish, running, unsettled, utterance
from tests.chaos.oracle import CHUNK_BYTES, RATE_HZ, Script
from tests.chaos.rig import rig
from tests.chaos.row import Row
from tests.chaos.verdict import Verdict
from tests.support.decoders import STARTED_AT_MS
from tests.support.waiting import eventually

GROUP = "linewatch-sentiment"
#: So full Redis is when the group has been away: above the limit, below the end.
FILLED = 0.85
CALL_S = 90.0
SOON_S = 60
DELIVERED_S = 240
_LONG_TEXT = "so much was said " * 180
#: What was acknowledged stays for ten minutes, unless more than half of Redis is used.
_MOST_USED = 0.5


def asked_for_a_call(urls, name):
    """Send the first chunk of a new call; return the status and what Retry-After says."""
    wire = ChannelRequests(ChannelKey("default", name, Channel.CUSTOMER), "probe", STARTED_AT_MS)
    chunk = Chunk(0, 0, "probe", Codec.PCMU, RATE_HZ, b"\xff" * CHUNK_BYTES)
    request = wire.step(chunk, -1)
    decoders = Decoders(urls, chance=random.Random(1))
    try:
        answer = decoders.send(request.method, request.path, request.headers, request.body)
    finally:
        decoders.close()
    return answer.status, answer.headers.get("retry-after")


def away(chance, entries=2000):
    """Let the sentiment's group be away while *entries* are written, and come back.

    Another group's dispatcher lives on, and trims the log all the while.
    """
    with ExitStack() as stack:
        site = stack.enter_context(rig(2))
        target, other = stack.enter_context(Target()), stack.enter_context(Target())
        with running(site, "dispatcher", SOURCE="sentiment", K_SINK=target.url) as reader:
            publish(site, [utterance("before", index) for index in range(20)])
            eventually(lambda: len(target.taken) >= 20, SOON_S, what="the group reads")
            reader.kill()
            reader.wait()
        stack.enter_context(running(site, "dispatcher", SOURCE="board-calls", K_SINK=other.url))
        scripts = (Script(1, CALL_S),)
        crowd = stack.enter_context(
            Crowd(site.fleet.urls, chance, count=2, speed=1.0, scripts=scripts)
        )
        eventually(lambda: len(crowd.ear.answers) > 10, SOON_S, what="calls are taken")
        records = [utterance(f"hour-{i % 40}", i // 40, _LONG_TEXT) for i in range(entries)]
        publish(site, records)
        told = _limit(site, crowd)
        kept = length(site, "utterances") >= entries
        stack.enter_context(running(site, "dispatcher", SOURCE="sentiment", K_SINK=target.url))
        eventually(
            lambda: names(records) <= target.taken,
            DELIVERED_S,
            what="all is delivered",
            every_s=0.2,
        )
        eventually(
            lambda: _used(site) <= _MOST_USED, SOON_S, what="the log is trimmed", every_s=0.2
        )
        eventually(
            lambda: _is_taken(site, "after"), SOON_S, what="new calls are taken again", every_s=0.5
        )
        lost = len(names(records) - target.taken)
    return Row(
        "group-away",
        8,
        f"consumer group away for {entries} events, Redis {FILLED:.0%} full",
        1,
        Verdict(events=entries, lost=lost),
        f"nothing unread trimmed, new calls refused 503 (Retry-After {told['retry']} s),"
        f" {told['refused']} of {told['steps']} steps of calls going on refused",
        passed=kept and not told["refused"],
    )


def _used(site):
    memory = site.client.info("memory")
    return memory["used_memory"] / memory["maxmemory"]


def _limit(site, crowd):
    used = site.client.info("memory")["used_memory"]
    site.client.config_set("maxmemory", int(used / FILLED))
    eventually(
        lambda: not _is_taken(site, "full"), SOON_S, what="new calls are refused", every_s=0.5
    )
    status, retry = asked_for_a_call(site.fleet.urls, "full-too")
    assert status == UNAVAILABLE, f"a full store answers {status}"
    before = len(crowd.ear.answers)
    eventually(
        lambda: len(crowd.ear.answers) > before + 40,
        SOON_S,
        what="calls going on are taken",
        every_s=0.1,
    )
    since = list(crowd.ear.answers)[before:]
    refused = sum(answer.status != OK for answer in since)
    return {"retry": retry, "refused": refused, "steps": len(since)}


_asked = iter(range(1 << 30))


def _is_taken(site, name):
    return asked_for_a_call(site.fleet.urls, f"{name}-{next(_asked)}")[0] == OK


def letters_refused(_, good=100, bad=20):
    """Let Redis refuse every write while *bad* events are to become dead letters."""
    records = [utterance(f"call-{i}", 0) for i in range(good + bad)]
    wrong = names(records[:: (good + bad) // bad][:bad])
    with ExitStack() as stack:
        site = stack.enter_context(rig(0))
        target = stack.enter_context(Target(wrong))
        env = {"SOURCE": "sentiment", "K_SINK": target.url}
        with running(site, "dispatcher", **env) as reader:
            target.gate.clear()
            publish(site, records)
            eventually(lambda: unsettled(site, GROUP), SOON_S, what="events are in hand")
            site.client.config_set("maxmemory", 1)
            target.gate.set()
            eventually(
                lambda: len(target.taken) == good,
                SOON_S,
                what="the good ones are delivered",
                every_s=0.1,
            )
            eventually(
                lambda: unsettled(site, GROUP) == bad, SOON_S, what="the bad ones wait", every_s=0.1
            )
            held = unsettled(site, GROUP), length(site, "dead-sentiment")
            reader.kill()
            reader.wait()
        with running(site, "dispatcher", **env):
            site.client.config_set("maxmemory", 0)
            eventually(
                lambda: not _waiting(site, bad), SOON_S, what="the letters are written", every_s=0.1
            )
            put = _letters(site)
    return Row(
        "letters-refused",
        11,
        "dead letters cannot be written, and the dispatcher is killed meanwhile",
        1,
        Verdict(events=good + bad, lost=len(wrong - put) + good - len(target.taken)),
        f"{held[0]} events waited unsettled, {len(put)} dead letters after it",
        passed=held == (bad, 0) and put == wrong,
    )


def _waiting(site, bad):
    return unsettled(site, GROUP) or length(site, "dead-sentiment") < bad


def _letters(site):
    streams = [keys.log("dead-sentiment", partition) for partition in range(12)]
    found = [record for stream in streams for _, record in site.client.xrange(stream)]
    return {(each[b"ce_source"].decode(), each[b"ce_id"].decode()) for each in found}
