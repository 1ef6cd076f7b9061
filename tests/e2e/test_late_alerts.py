"""A score that comes after its call has ended or was forgotten: an alert, or a dead letter."""

from __future__ import annotations

import base64
import threading

import pytest
import redis
from werkzeug.serving import make_server

from eventing import topology
from eventing.delivery.deliverer import Deliverer
from eventing.delivery.kafkasource_request import dead_letter, event_of
from linewatch import events, keys
from linewatch.board.app import create
from linewatch.board.store import Board
from linewatch.eventlog.record import Entry
from tests.support.board_facts import CALL, TENANT, end, score, start
from tests.support.event_sink import EventSink

SOURCE = topology.load().source("board-scores")
LATE = events.utterance_scored(score(1, text="get me a manager"))


@pytest.fixture(name="ended")
def _ended(redis_url):
    """Return what tells a call and lets it have ended so many seconds ago."""
    board = Board.from_url(redis_url)

    def ended(ago_s):
        for fact in (start(), score(0), end(9000, 2)):
            board.put(fact)
        _as_if_ended(redis_url, ago_s)
        return board

    yield ended
    board.close()


@pytest.fixture(name="sink")
def _sink():
    with EventSink() as sink:
        yield sink


@pytest.fixture(name="deliverer")
def _deliverer(redis_url, sink):
    """Brings events to a board function that listens."""
    function = create({"REDIS_URL": redis_url, "K_SINK": sink.url})
    server = make_server("127.0.0.1", 0, function)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Deliverer(SOURCE, f"http://127.0.0.1:{server.port}/", threading.Event())
    server.shutdown()
    thread.join()
    server.server_close()


def _as_if_ended(redis_url, ago_s):
    """Let the call have ended *ago_s* ago; nobody else's event came since."""
    ago_ms = ago_s * 1000
    with redis.Redis.from_url(redis_url) as client:
        leaves_ms = int(client.zscore(keys.board_expiries(TENANT), CALL)) - ago_ms
        client.zadd(keys.board_expiries(TENANT), {CALL: leaves_ms})
        client.set(keys.board_gone(TENANT, CALL), leaves_ms, keepttl=True)
        left_s = client.ttl(keys.board_call(TENANT, CALL)) - ago_s
        client.expire(keys.board_call(TENANT, CALL), left_s)


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


def _deliver(deliverer):
    fields = events.to_record(LATE, "scores").fields()
    raw = {_bytes(name): _bytes(value) for name, value in fields.items()}
    event, key = event_of(SOURCE, Entry(0, 7, raw, 0))
    failure = deliverer.deliver(event)
    return failure and dead_letter(SOURCE, event, key, failure)


@pytest.mark.parametrize(
    ("ago_s", "is_shown"), [(0, True), (60, True), (20 * 60, False), (23 * 3600, False)]
)
def test_late_alert_is_published(ended, sink, deliverer, ago_s, is_shown):
    """Up to a day after the end the alert is published, once, and no row comes back."""
    board = ended(ago_s)
    assert [_deliver(deliverer) for _ in range(3)] == [None] * 3
    assert [alert.get_id() for alert in sink.taken] == ["keyword-supervisor-alert"]
    shown = board.snapshot(TENANT)
    assert [row.utterances for row in shown.rows] == [2] * is_shown
    assert len(shown.alerts) == is_shown


@pytest.mark.parametrize("ago_h", [25, 7 * 24])
def test_too_late_is_a_dead_letter(ended, sink, deliverer, ago_h):
    """After more than a day it is a dead letter with its reason, however often it is replayed."""
    board = ended(ago_h * 3600)
    for _ in range(2):
        letter = _deliver(deliverer)
        assert letter.headers["ce_reason"] == b"too-late"
        why = base64.b64decode(letter.headers["ce_knativeerrordata"]).decode()
        assert f"told {ago_h - 1} h after the call left the board" in why
    assert (sink.taken, board.snapshot(TENANT).rows) == ([], ())
