"""How a call leaves the board: first the page, then memory, and what comes after each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linewatch import keys
from linewatch.board.store import UNENDED_ROW_EXPIRES_S, Board
from linewatch.errors import TooLate
from linewatch.eventlog.protocol import KEPT_S
from tests.support.board_facts import AGENT, CALL, CUSTOMER, TENANT, end, score, start
from tests.support.board_oracle import board_of


def _put_all(board, facts):
    for fact in facts:
        board.put(fact)


def _pure(facts):
    return board_of(facts)[0]


def _long_call(length):
    sides = [AGENT, CUSTOMER]
    return [score(i // 2, channel=sides[i % 2], at_ms=i * 3000) for i in range(length)]


def test_call_lives_on_unseen(board, client):
    """A row stays 15 minutes after the end, the facts a day, and the tombstone a week more."""
    board.put(start())
    assert _shown_for_s(client) == pytest.approx(UNENDED_ROW_EXPIRES_S, abs=2)
    board.put(end(9000))
    assert _shown_for_s(client) == pytest.approx(keys.ENDED_ROW_EXPIRES_S, abs=2)
    assert client.ttl(keys.board_call(TENANT, CALL)) == keys.FACTS_EXPIRES_S
    assert client.ttl(keys.board_gone(TENANT, CALL)) == keys.FACTS_EXPIRES_S + KEPT_S


def _shown_for_s(client):
    now_s, _ = client.time()
    return client.zscore(keys.board_expiries(TENANT), CALL) / 1000 - now_s


def test_late_score_prolongs_nothing(board, client):
    """A score told after the end keeps neither the row nor the facts any longer."""
    _put_all(board, [start(), end(9000, 2)])
    client.zadd(keys.board_expiries(TENANT), {CALL: (client.time()[0] + 60) * 1000})
    client.expire(keys.board_call(TENANT, CALL), 3600)
    board.put(score(0))
    assert _shown_for_s(client) <= 60
    assert client.ttl(keys.board_call(TENANT, CALL)) <= 3600
    assert board.snapshot(TENANT).rows[0].utterances == 1


def _expire(client, call=CALL):
    _leave(client, call)
    client.delete(keys.board_call(TENANT, call))


def _leave(client, call=CALL, ago_s=20 * 60):
    """Let the call have left the page *ago_s* ago."""
    left_ms = round((client.time()[0] - ago_s) * 1000)
    client.zadd(keys.board_expiries(TENANT), {call: left_ms})
    client.set(keys.board_gone(TENANT, call), left_ms, keepttl=True)


def test_expired_call_is_hidden(board, client):
    """A call that is due is not shown, even before it is cleared away."""
    _put_all(board, [score(0, text="lawyer"), end(9000, 1)])
    _expire(client)
    snapshot = board.snapshot(TENANT)
    assert (snapshot.rows, snapshot.alerts) == ((), ())
    assert board.detail(TENANT, CALL) is None


def test_expired_call_is_cleared(board, client):
    """The next event clears away all that was kept of a call that is due."""
    _put_all(board, [score(0, text="lawyer"), end(9000, 1)])
    _expire(client)
    board.put(start("other"))
    assert client.hkeys(keys.board_rows(TENANT)) == ["other"]
    assert client.zrange(keys.board_calls(TENANT), 0, -1) == ["other"]
    assert client.zrange(keys.board_expiries(TENANT), 0, -1) == ["other"]
    assert client.exists(keys.board_alerts(TENANT)) == 0


@pytest.mark.parametrize("is_cleared", [False, True])
def test_late_alert_is_published(board, client, is_cleared):
    """A score told 20 minutes after the end raises its alert once, and the row stays away."""
    _put_all(board, [score(0), end(9000, 2)])
    _leave(client)
    if is_cleared:
        board.put(start("other"))
    told = score(1, text="lawyer")
    (alert,) = board.put(told).unpublished
    assert alert.rule == "keyword-legal"
    board.mark_published(alert)
    assert board.put(told).unpublished == []
    snapshot = board.snapshot(TENANT)
    assert ([row.call for row in snapshot.rows], snapshot.alerts) == (["other"] * is_cleared, ())
    assert client.hkeys(keys.board_rows(TENANT)) == ["other"] * is_cleared


@pytest.mark.parametrize("ended", [[], [end(9000, 2)]])
def test_too_late_is_refused(board, client, ended):
    """What is told when nothing is known any more is refused, and brings no call back."""
    _put_all(board, [score(0), *ended])
    _expire(client)
    _leave(client, ago_s=25 * 3600)
    client.expire(keys.board_gone(TENANT, CALL), 60)
    for fact in (score(1, text="lawyer"), score(0), start()):
        with pytest.raises(TooLate, match="told 25 h after the call left the board"):
            board.put(fact)
    assert board.snapshot(TENANT).rows == ()
    assert client.exists(keys.board_call(TENANT, CALL)) == 0
    assert client.ttl(keys.board_gone(TENANT, CALL)) == keys.FACTS_EXPIRES_S + KEPT_S


def test_gone_before_times_were_kept(board, client):
    """A call that version 0.1 let go is known to be gone, if not since when."""
    client.set(keys.board_gone(TENANT, CALL), "1")
    with pytest.raises(TooLate, match="told after the call left the board"):
        board.put(score(1))


def test_long_log_is_remembered(redis_url, client):
    """Where the log keeps a month, a call that is gone is known for longer than that."""
    board = Board.from_url(redis_url, log_kept_s=30 * 24 * 3600)
    board.put(start())
    assert client.ttl(keys.board_gone(TENANT, CALL)) == 31 * 24 * 3600
    board.close()


def test_name_may_come_again(board, client):
    """A call that began after another of its name had left is a new one."""
    _put_all(board, [score(0), end(9000, 1)])
    _expire(client)
    board.put(replace(start(), started_at_ms=client.time()[0] * 1000))
    (row,) = board.snapshot(TENANT).rows
    assert (row.ended_at_ms, row.utterances) == (None, 0)


def test_call_off_the_page_is_packed(board, client):
    """The facts of a call that left the page take a quarter of the room, and none is lost."""
    told = [start(), *_long_call(60), end(300_000, 61)]
    key = keys.board_call(TENANT, CALL)
    _put_all(board, told)
    whole = client.memory_usage(key)
    _leave(client)
    board.put(start("other"))
    assert client.memory_usage(key) < whole / 4
    late = [score(30, -0.9, "a refund please", at_ms=200_000), score(31, at_ms=230_000)]
    for number, fact in enumerate(late, 1):
        assert board.put(fact).row == _pure([*told, *late[:number]])
    version = client.hget(key, "version")
    assert (board.put(told[5]).row, client.hget(key, "version")) == (_pure([*told, *late]), version)


def test_packing_works_on_a_full_store(board, client):
    """A Redis at its limit lets a call be packed, and holds less than before."""
    _put_all(board, [*_long_call(200), end(700_000, 200)])
    before = client.info("memory")["used_memory"]
    try:
        client.config_set("maxmemory", 1)
        board._pack(TENANT, CALL)
    finally:
        client.config_set("maxmemory", 0)
    assert client.info("memory")["used_memory"] < before
    assert client.hexists(keys.board_call(TENANT, CALL), "packed")


def test_overtaken_pack_is_left(board, client, monkeypatch):
    """A call that is told something while it is packed keeps all of it."""
    _put_all(board, [score(0), end(9000, 2)])
    write = board._write_packed

    def overtaken(**how):
        board.put(score(1))
        write(**how)

    monkeypatch.setattr(board, "_write_packed", overtaken)
    board._pack(TENANT, CALL)
    assert not client.hexists(keys.board_call(TENANT, CALL), "packed")
    assert board.put(score(1)).row.utterances == 2


def test_mark_revives_nothing(board, client):
    """Marking an alert of a call that left the board leaves no key behind."""
    (alert,) = board.put(score(0, text="lawyer")).unpublished
    client.delete(keys.board_call(TENANT, CALL))
    board.mark_published(alert)
    assert client.exists(keys.board_call(TENANT, CALL)) == 0
