"""Old and new code side by side: what the version before and the one after leave in shared data.

The next version is played by what it would write: more members, fields and channels, other
reasons. Whatever cannot be read stays as it was written, and everything else goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import redis
from hypothesis import given

from eventing.delivery.deliverer import is_retried
from linewatch import events, keys, payloads
from linewatch.board.app import create
from linewatch.board.store import Board
from linewatch.decoder.app import app_of
from linewatch.decoder.outbox.relay import Relay
from linewatch.decoder.ownership.cookies import Cookies, Hint
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import RedisLogWriter
from linewatch.events import Record
from tests.eventing.subscriber import until
from tests.linewatch.decoder.phone_requests import audio, service_of
from tests.linewatch.decoder.pods import AGENT
from tests.linewatch.decoder.store.stored import ended, living, opened
from tests.support import past, values
from tests.support.board_facts import CALL, TENANT, end, gap, score, start
from tests.support.board_oracle import board_of

KEY = keys.board_call(TENANT, CALL)
LATER = {"mood": {"joy": 0.3}, "v2_only": [1, None]}


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(name="board")
def _board(redis_url):
    board = Board.from_url(redis_url)
    yield board
    board.close()


@pytest.fixture(name="function")
def _function(redis_url):
    return create({"REDIS_URL": redis_url, "REPLY": "true"}).test_client()


def _post(function, event, **extensions):
    headers, body = events.to_http(event)
    more = {f"ce-{name}": text for name, text in extensions.items()}
    return function.post("/", headers=headers | more, data=body)


def _change(client, key, field, **members):
    """Let newer code have written more *members* into a field's JSON, or other ones."""
    written = json.loads(client.hget(key, field))
    for each in written if isinstance(written, list) else [written]:
        each.update(members)
    client.hset(key, field, json.dumps(written, separators=(",", ":")))
    return client.hget(key, field)


def _board_as_before(client):
    client.hset(KEY, mapping=past.CALL_HASH)
    client.hset(keys.board_rows(TENANT), CALL, past.ROW)
    client.zadd(keys.board_calls(TENANT), {CALL: -21.0})
    now_s, _ = client.time()
    client.zadd(keys.board_expiries(TENANT), {CALL: (now_s + 900) * 1000})
    alert = client.hget(KEY, "alert:keyword-legal")
    client.hset(keys.board_alerts(TENANT), f"{CALL}|keyword-legal", alert)
    client.set(keys.board_gone(TENANT, CALL), "1", ex=keys.TOMBSTONE_EXPIRES_S)


def test_past_board_is_read(board, client):
    """A call that version 0.1.0 wrote is shown as it was, and goes on with all its facts."""
    _board_as_before(client)
    (row,) = board.snapshot(TENANT).rows
    told = [start(), score(0, -0.5, "my lawyer"), gap(4000, 5000), end(9000, 2, 1)]
    assert row == board_of(told)[0]
    late = score(1, 0.25, at_ms=6000)
    assert board.put(late).row == board_of([*told, late])[0]
    assert len(board.detail(TENANT, CALL).said) == 2
    assert [alert.raised_at_ms for alert in board.snapshot(TENANT).alerts] == [1796104798883]


@pytest.mark.parametrize(
    ("members", "is_read"),
    [(LATER, True), ({"v": 2}, False), ({"help_score": "high"}, False), ({"rules": None}, False)],
    ids=["members", "version", "type", "null"],
)
def test_newer_row_darkens_nothing(board, client, members, is_read):
    """A newer row is read if it only has more members, else one line of the page; others stay."""
    board.put(start("fine"))
    board.put(start())
    written = _change(client, keys.board_rows(TENANT), CALL, **members)
    snapshot = board.snapshot(TENANT)
    assert {row.call for row in snapshot.rows} == {"fine", *([CALL] if is_read else [])}
    assert snapshot.unreadable == (() if is_read else (CALL,))
    assert (board.detail(TENANT, CALL) is not None) == is_read
    assert client.hget(keys.board_rows(TENANT), CALL) == written


def test_newer_channels_in_rows(board, client):
    """A row with a speaker that is not known yet is shown without it."""
    board.put(score(0))
    talk_ms = {"customer": 2000, "agent_2": 900}
    _change(client, keys.board_rows(TENANT), CALL, last_channel="agent_2", talk_ms=talk_ms)
    (row,) = board.snapshot(TENANT).rows
    assert (row.last_channel, row.talk_ms) == (None, {"customer": 2000})


@pytest.mark.parametrize("members", [{"severity": "deadly"}, {"v": 2}])
def test_newer_alert_hides_no_other(board, client, members):
    """An alert that only newer code can read is one line of the page, the others stay."""
    board.put(score(0, text="my lawyer wants a refund"))
    names = sorted(alert.rule for alert in board.snapshot(TENANT).alerts)
    field = f"{CALL}|{names[0]}"
    raised_at_ms, _, text = client.hget(keys.board_alerts(TENANT), field).partition("|")
    newer = json.dumps({**json.loads(text), **members})
    client.hset(keys.board_alerts(TENANT), field, f"{raised_at_ms}|{newer}")
    snapshot = board.snapshot(TENANT)
    assert [alert.rule for alert in snapshot.alerts] == names[1:]
    assert snapshot.unreadable == (field,)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("hold:1700", '[{"tenant":"default","call":"call-1","at_ms":1700}]'),
        ("score:agent_2:0", '[{"key":{"channel":"agent_2"},"text":"hi"}]'),
        ("gap:customer:99", '[{"key":{"channel":"customer"},"reason":"eaten"}]'),
        ("end", '[{"v":2,"generation":3}]'),
        ("start", '{"line":"line-7"}'),
        ("score:customer:0", '[{"v":2,"polarity":[0.1,0.2]}]'),
    ],
)
def test_newer_facts_are_kept(board, client, field, text):
    """A fact that only newer code can read stays as it was written, and the rest is folded."""
    board.put(score(1))
    client.hset(KEY, mapping={field: text, "fold": '{"terms":"9 newer","moods":[]}'})
    put = board.put(score(2, at_ms=20_000))
    late_ms = board.detail(TENANT, CALL).row.late_ms
    assert put.row == board_of([score(1), score(2, at_ms=20_000)])[0]
    assert put.unreadable == 1
    assert client.hget(KEY, field) == text
    assert board.detail(TENANT, CALL).row == replace(put.row, late_ms=late_ms)


def test_newer_members_of_facts_stay(board, client):
    """A field that newer code wrote more into is read, and another score beside it drops none."""
    board.put(score(0, -0.5))
    field = "score:customer:0"
    newer = _change(client, KEY, field, **LATER)
    board.put(score(0, 0.5, consumer="notebook"))
    mine, theirs = json.loads(client.hget(KEY, field))
    assert (mine["consumer"], json.loads(newer)) == ("notebook", [theirs])
    assert {said.consumer for said in board.detail(TENANT, CALL).others} == {"sentiment"}
    assert board.put(score(0, -0.5)).unreadable == 0
    assert json.loads(client.hget(KEY, field)) == [mine, theirs]


def test_newer_score_beside_ours(board, client):
    """A score that only newer code can read stays in its field when ours is written there."""
    board.put(score(1))
    newer = {"v": 2, "consumer": "night-shift"}
    client.hset(KEY, "score:customer:0", json.dumps([newer]))
    put = board.put(score(0, 0.5))
    assert put.row.utterances == 2
    assert json.loads(client.hget(KEY, "score:customer:0"))[1:] == [newer]


def test_unmergeable_field_is_newer_codes(function, board, client):
    """Where ours cannot be written without loss, the event is sent again and nothing changes."""
    board.put(score(1))
    client.hset(KEY, "score:customer:0", '{"v":2,"scores":[]}')
    answer = _post(function, events.utterance_scored(score(0)))
    assert (answer.status_code, is_retried(answer.status_code)) == (503, True)
    assert client.hget(KEY, "score:customer:0") == '{"v":2,"scores":[]}'


@pytest.mark.parametrize("text", ['{"terms":', "[]", "null", '{"settled":3}'])
def test_newer_fold_is_made_anew(board, client, text):
    """A fold that cannot be read is made of all facts, also one that claims to be ours."""
    board.put(score(0, -0.5))
    ours = json.loads(client.hget(KEY, "fold"))["terms"]
    client.hset(KEY, "fold", text.replace('{"settled"', f'{{"terms":"{ours}","settled"'))
    assert board.put(score(1)).row == board_of([score(0, -0.5), score(1)])[0]


def test_left_out_is_counted_once_said(function, board, client, caplog):
    """The board function counts what it leaves out, and says it in the log once."""
    board.put(score(0))
    client.hset(KEY, mapping={"hold:1700": "[{}]", "fold": ""})
    for number in (1, 2):
        client.hset(KEY, "fold", "")
        assert _post(function, events.utterance_scored(score(number))).status_code == 204
    assert "linewatch_board_unreadable_total 2.0" in function.get("/metrics").text
    assert caplog.text.count("newer code wrote") == 1


@given(values.VALUES)
def test_newer_events_are_read(value):
    """Members of the data and extensions that are not known are left out, whatever the type."""
    headers, body = events.to_http(values.told(value))
    more = {**json.loads(body), **LATER}
    newer = events.from_http(headers | {"ce-shift": "night"}, json.dumps(more).encode())
    assert payloads.read(newer) == value


def test_newer_kinds_become_dead_letters(function):
    """An event that only newer code understands is refused with the reason, to be replayed."""
    told = events.call_gap(gap(0, 10))
    headers, body = events.to_http(told)
    eaten = json.dumps({**json.loads(body), "reason": "eaten"})
    for changed, content in (
        ({}, eaten),
        ({}, eaten.replace('"customer"', '"agent_2"').replace("eaten", "lost")),
        ({"ce-type": "linewatch.call.sung.v1"}, body),
    ):
        answer = function.post("/", headers=headers | changed, data=content)
        assert answer.status_code in {400, 422}
        assert not is_retried(answer.status_code)
        assert answer.headers["kne-reason"] in {"bad-event", "unprocessable"}


def test_newer_health_is_read(board, client):
    """Pods, functions and dispatchers that report more than is known are shown all the same."""
    client.sadd(keys.PODS, "decoder-9")
    client.hset(keys.pod("decoder-9"), mapping={"sessions": 3, "gpu_pct": "n/a", "zone": "b"})
    client.hset(keys.health("dispatcher"), mapping={"lag.s": 2, "pace.s": "fast", "dead.s": 0})
    client.hset(keys.health("functions"), mapping={"board.replicas": 1, "board.zone": "b"})
    health = board.snapshot(TENANT).health
    assert [(pod.pod, pod.sessions) for pod in health.decoders] == [("decoder-9", 3)]
    assert [each.name for each in health.functions] == ["board"]
    assert (health.lag, health.dead_letters) == ({"s": 2}, {"s": 0})


def test_newer_cookie_hints():
    """A cookie that says more than is known is still the hint it was."""
    cookies = Cookies(("secret",))
    newer = cookies._serializer.dumps(["acme", "call-1", "pod-a", "zone-b"])
    assert cookies.read(newer) == Hint("acme", "call-1", "pod-a")


def test_newer_session_goes_on(redis_url, client):
    """More fields in a session, a call and a pod change nothing for a decoder that has them."""
    web = app_of(service_of(redis_url)).test_client()
    assert audio(web).status_code == 200
    (session,), (call,) = client.keys("s:*:agent"), client.keys("call:*")
    for key in (session, call):
        client.hset(key, mapping={"zone": "b", "v2": "{}"})
    answer = audio(web, channel="/v1/calls/c1/channels/customer")
    assert answer.status_code == 200
    assert client.hget(session, "zone") == client.hget(call, "zone") == "b"


def test_newer_checkpoint_waits(redis_url, client):
    """A session that newer code wrote is left to it with 503, and goes on where it is known."""
    web, other = (app_of(service_of(redis_url)).test_client() for _ in range(2))
    assert audio(web).status_code == 200
    (session,) = client.keys("s:*:agent")
    client.hset(session, "version", 3)
    answer = audio(other)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json["type"].endswith(":newer-checkpoint")
    client.hset(session, "version", 1)
    assert audio(other).json["next_seq"] == 1


def test_newer_channels_stop_no_reaper(redis_url, client):
    """Channels that only newer code knows stop no one from looking after all others."""
    store = living(redis_url, "pod-a")
    opened(store)
    newer = {"default|c1|agent_2": 1, "default|c1|agent|leg-2": 1}
    client.zadd(keys.SESSIONS, {**newer, keys.member(AGENT): 1})
    assert store.idle(10) == [AGENT]


def test_newer_channels_close_no_call(redis_url, client):
    """A call with a channel that only newer code knows is closed by newer code."""
    store = living(redis_url, "pod-a")
    ended(store, AGENT)
    client.hset(keys.call("default", "c1"), "ch:agent_2", "open")
    assert not store.close("default", "c1", 1_767_225_700_000)
    client.hdel(keys.call("default", "c1"), "ch:agent_2")
    assert store.close("default", "c1", 1_767_225_700_000)


def test_newer_records_are_passed_on(redis_url, client):
    """A record with headers and a type that are not known is relayed as it is."""
    newer = Record("calls", "c1", {"ce_type": b"linewatch.call.sung.v1", "ce_key": b"d"}, b"{}")
    log = RedisLog.at(redis_url)
    client.xadd(keys.outbox(newer.partition), newer.fields())
    with redis.Redis.from_url(redis_url) as raw:
        living(redis_url, "pod-a")
        relay = Relay(raw, RedisLogWriter(raw), "pod-a")
        relay.start()
        (entry,) = until(lambda: log.entries("calls"))
        relay.stop()
    assert Record.of_fields(entry.fields) == newer


def test_start_is_told_again_by_older_code(board, client):
    """What newer code added to a start stays when older code is told the same start."""
    board.put(start())
    newer = _change(client, KEY, "start", skill="billing-2")
    board.put(start())
    board.put(score(0))
    assert client.hget(KEY, "start") == newer


def test_group_outlives_its_dispatcher(redis_url):
    """What a dispatcher of another version read and never settled is taken over by its group."""
    log = RedisLog.at(redis_url)
    group, successor = (Group("scores", "linewatch-board-scores", name) for name in ("v1", "v2"))
    log.ensure(group)
    log.publish([Record("scores", "c1", {"ce_id": b"0"}, b"{}")])
    assert len(log.read(group, count=1)) == 1
    log.ensure(successor)
    (entry,) = until(lambda: log.claim(successor, idle_ms=1))
    assert entry.fields[b"ce_id"] == b"0"
