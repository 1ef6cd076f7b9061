"""The board in a real Redis: any order, any number of times, from anywhere at once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from infra.launcher import redis_server
from linewatch import keys
from linewatch.board import encoding
from linewatch.board.scores import ANYBODY, Shown
from linewatch.board.store import Board
from linewatch.calls import Missing
from linewatch.errors import StoreUnavailable
from tests.support import board_seed
from tests.support.board_facts import (
    AGENT,
    CALL,
    CUSTOMER,
    MIXED,
    TENANT,
    end,
    gap,
    score,
    start,
    tales,
    tellings,
    update,
)
from tests.support.board_oracle import board_of
from tests.support.full_store import full


def _pure(facts, shown=ANYBODY):
    return board_of(facts, shown)[0]


def _put_all(board, facts):
    for fact in facts:
        put = board.put(fact)
    return put


def _rows(board):
    """What the board shows, but for when it was told."""
    return tuple(replace(row, late_ms=0) for row in board.snapshot(TENANT).rows)


def _detail(board, call=CALL):
    """The detail, but for when it was told."""
    found = board.detail(TENANT, call)
    return replace(found, row=replace(found.row, late_ms=0))


def _alerts(board, call=CALL):
    return {alert.rule for alert in board.snapshot(TENANT).alerts if alert.call == call}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(telling=tellings())
def test_order_changes_nothing(board, client, telling):
    """Shuffled and repeated events give the same row and the same alerts, gaps included."""
    in_order, shuffled = telling
    seen = []
    for facts in (in_order, shuffled):
        client.flushall()
        put = _put_all(board, facts)
        seen.append((put.row, _rows(board), _alerts(board)))
    assert seen[0] == seen[1]
    assert seen[0][0] == _pure(in_order)
    assert seen[0][2] == set(_pure(in_order).rules)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tale=tales())
def test_scorers_in_any_order(redis_url, client, tale):
    """Scores of many consumers and versions, in any order and repeated, show the same board."""
    in_order, shuffled, shown = tale
    board, seen = Board.from_url(redis_url, shown), []
    for facts in (in_order, shuffled):
        client.flushall()
        put = _put_all(board, facts)
        # An alert keeps the words and the time that it was raised with.
        detail = replace(_detail(board), alerts=())
        seen.append((put.row, detail, _alerts(board)))
    board.close()
    assert seen[0] == seen[1]
    assert seen[0][0] == seen[0][1].row == _pure(in_order, shown)


def test_two_scorers_alternate(redis_url):
    """A call whose utterances change hands between two consumers counts each of them once."""
    board = Board.from_url(redis_url, Shown(("sentiment", "notebook")))
    hands = ["sentiment", "notebook", "notebook", "sentiment"]
    told = [score(i, -0.1 * i, consumer=name) for i, name in enumerate(hands)]
    # After the rebalance the other one scores the last utterance of each again.
    again = [score(0, 0.9, consumer="notebook"), score(2, 0.8)]
    _put_all(board, [*told, *again, end(60_000, 4)])
    (row,) = _rows(board)
    assert (row.utterances, row.customer_trend) == (4, (0.0, -0.1, 0.8, -0.1 * 3))
    detail = board.detail(TENANT, CALL)
    assert [said.consumer for said in detail.said] == [hands[0], hands[1], "sentiment", hands[3]]
    assert [(said.consumer, said.polarity) for said in detail.others] == [
        ("notebook", 0.9),
        ("notebook", -0.2),
    ]
    board.close()


def test_choice_may_change(redis_url, board):
    """A board that is told to show another consumer shows it from the call's next event on."""
    _put_all(board, [score(0, 0.5), score(0, -0.5, consumer="canary"), score(1, 0.1)])
    assert board.snapshot(TENANT).rows[0].customer_trend == (-0.5, 0.1)
    other = Board.from_url(redis_url, Shown(("sentiment",)))
    told = [score(0, 0.5), score(0, -0.5, consumer="canary"), score(1, 0.1), score(2)]
    assert other.put(told[-1]).row == _pure(told, Shown(("sentiment",)))
    other.close()


def _long_call(length):
    sides = [AGENT, CUSTOMER]
    return [score(i // 2, channel=sides[i % 2], at_ms=i * 3000) for i in range(length)]


class _Reads:
    """Counts the characters that a board reads of a call's hash, and the facts it parses."""

    def __init__(self, board, monkeypatch):
        self.texts, self.facts = [], []
        read, parse = board._client.hmget, encoding._fact
        monkeypatch.setattr(board._client, "hmget", lambda *args: self._note(read(*args)))
        monkeypatch.setattr(
            encoding, "_fact", lambda *args: self.facts.append(args) or parse(*args)
        )

    def _note(self, texts):
        self.texts += filter(None, texts)
        return texts

    def _parsed(self, fact):
        self.facts.append(fact)
        return fact

    def of(self, put):
        """Return both counts of what *put* does."""
        self.texts.clear()
        self.facts.clear()
        put()
        return sum(map(len, self.texts)), len(self.facts)


def test_long_call_reads_no_more(board, client, monkeypatch):
    """An event reads no more of a long call than of a short one, and parses no other fact."""
    told = _long_call(400)
    _put_all(board, told[:59])
    reads = _Reads(board, monkeypatch)
    monkeypatch.setattr(board._client, "hgetall", None)
    short, parsed = reads.of(lambda: board.put(told[59]))
    assert (short < 8000, parsed) == (True, 0)
    _put_all(board, told[60:-1])
    long, parsed = reads.of(lambda: board.put(told[-1]))
    assert (long < 1.1 * short, parsed) == (True, 0)
    _, parsed = reads.of(lambda: board.put(replace(told[0], scorer_version=0)))
    assert parsed == 1


def test_hidden_scorer_raises_nothing(redis_url):
    """What only a consumer scores that is not shown stays off the board and raises no alert."""
    board = Board.from_url(redis_url, Shown(("sentiment",)))
    put = board.put(score(0, -0.9, "get me a manager", consumer="canary"))
    assert (put.row.utterances, put.row.polarity, put.unpublished) == (0, None, [])
    detail = board.detail(TENANT, CALL)
    assert (detail.said, [said.consumer for said in detail.others]) == ((), ["canary"])
    assert board.put(score(0, -0.3, "get me a manager")).row.polarity == -0.3
    board.close()


def test_reader_shows_what_was_chosen(redis_url, board):
    """The dashboard shows the scores that the board function chose, without settings of its own."""
    writer = Board.from_url(redis_url, Shown(("sentiment",)))
    _put_all(writer, [score(0, 0.5), score(0, -0.5, consumer="canary")])
    assert [said.polarity for said in board.detail(TENANT, CALL).said] == [0.5]
    writer.close()


def test_end_before_last_score(board):
    """A score that comes after the call's end still counts, and the call stays ended."""
    _put_all(board, [start(), end(30_000, 2), score(0, -0.5), score(1, 0.0, "bye")])
    (row,) = _rows(board)
    assert (row.utterances, row.last_text, row.polarity) == (2, "bye", 0.0)
    assert row.ended_at_ms is not None


def _tell_at_once(board, facts):
    begin = threading.Barrier(len(facts))

    def tell(fact):
        begin.wait()
        board.put(fact)

    threads = [threading.Thread(target=tell, args=(fact,)) for fact in facts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_lose_nothing(board):
    """Whenever eight threads tell one call at once, the last row is that of the whole set."""
    for number in range(20):
        call = f"call-{number}"
        facts = [score(i, -0.5 if i % 2 else 0.0, call=call) for i in range(6)]
        facts += [gap(0, 9, call=call), end(400_000, 6, 1, call=call)]
        _tell_at_once(board, facts)
        assert replace(board.detail(TENANT, call).row, late_ms=0) == _pure(facts)


def test_lost_race_is_retried(board, client, monkeypatch):
    """A row worked out from a set that grew meanwhile is not written."""
    board.put(score(0, text="my lawyer"))
    honest = board._commit

    def overtaken(*args):
        monkeypatch.setattr(board, "_commit", honest)
        board.put(score(1, text="manager"))
        return honest(*args)

    monkeypatch.setattr(board, "_commit", overtaken)
    put = board.put(score(2, text="refund"))
    assert put.row.utterances == 3
    assert client.hget(keys.board_call(TENANT, CALL), "version") == "3"
    assert _rows(board) == (put.row,)


def test_endless_race_is_unavailable(board, monkeypatch):
    """A call whose set never stands still is answered with an error, not with a wait for ever."""
    monkeypatch.setattr(board, "_commit", lambda *_: "moved")
    monkeypatch.setattr("linewatch.board.store._TRIES", 3)
    with pytest.raises(StoreUnavailable, match="at once"):
        board.put(start())


def test_alert_is_raised_once(board):
    """A rule met again and again is one alert, with its first words and its first time."""
    first = board.put(score(0, text="get me a manager")).unpublished
    (shown,) = board.snapshot(TENANT).alerts
    assert (shown.rule, shown.reason) == ("keyword-supervisor", "asked for a manager")
    again = _put_all(board, [score(i, text="the supervisor") for i in range(1, 4)]).unpublished
    assert board.snapshot(TENANT).alerts == (shown,)
    assert again == first


def test_published_is_remembered(board):
    """An alert is handed out until it is marked, then never again."""
    told = score(0, text="get me a manager")
    (alert,) = board.put(told).unpublished
    assert board.put(told).unpublished == [alert]
    board.mark_published(alert)
    assert board.put(told).unpublished == []
    assert board.put(score(1, text="manager")).unpublished == []
    assert _alerts(board) == {"keyword-supervisor"}


def test_alert_keeps_its_words(board):
    """An alert that earlier words would raise too stays as it was raised: its event is the same."""
    (late,) = board.put(score(5, text="a manager please")).unpublished
    (again,) = board.put(score(1, text="your supervisor please")).unpublished
    assert again == late


def test_late_gap_takes_silence_back(board):
    """A gap told after the speech that followed it explains the silence, and the alert goes."""
    said = [score(0, channel=MIXED, at_ms=0), score(1, channel=MIXED, at_ms=40_000)]
    _put_all(board, said)
    assert _alerts(board) == {"long-silence"}
    put = board.put(gap(5000, 30_000, MIXED))
    assert (_alerts(board), put.row.rules, put.unpublished) == (set(), (), [])


def test_calls_come_worst_first(board):
    """Live calls come by help score, ended ones after them."""
    board.put(score(0, 0.5, call="fine"))
    board.put(score(0, -0.5, call="bad"))
    _put_all(board, [score(0, -0.9, call="over"), end(9000, 1, call="over")])
    assert [row.call for row in board.snapshot(TENANT).rows] == ["bad", "fine", "over"]


def test_alerts_come_worst_first(board):
    """The alert queue is sorted by severity, then by age."""
    for call, text in (("a", "refund"), ("b", "lawyer"), ("c", "refund")):
        board.put(score(0, text=text, call=call))
    assert [alert.call for alert in board.snapshot(TENANT).alerts] == ["b", "a", "c"]


def test_tenants_are_apart(board):
    """The same call of another tenant is another call."""
    _put_all(board, [score(0, -0.5, "lawyer"), score(0, 0.5, tenant="other", text="hi")])
    (ours,), (theirs,) = (board.snapshot(tenant).rows for tenant in (TENANT, "other"))
    assert (ours.last_text, theirs.last_text) == ("lawyer", "hi")
    assert board.snapshot("other").alerts == ()
    assert board.detail("third", CALL) is None


def test_empty_board_is_readable(board):
    """A board nobody told anything is empty, not an error."""
    snapshot = board.snapshot(TENANT)
    assert (snapshot.rows, snapshot.alerts, snapshot.newest_at_ms) == ((), (), None)
    assert board.detail(TENANT, CALL) is None


def test_newest_tells_data_age(board):
    """The snapshot says when the last new event came; a repeat is not news."""
    board.put(start())
    first = board.snapshot(TENANT)
    time.sleep(0.005)
    board.put(start())
    again = board.snapshot(TENANT)
    assert again.newest_at_ms == first.newest_at_ms <= first.taken_at_ms < again.taken_at_ms
    board.put(score(0))
    assert board.snapshot(TENANT).newest_at_ms > first.newest_at_ms


def test_detail_tells_everything(board, client):
    """The detail has transcript, gaps and alerts in spoken order, and the words going on."""
    facts = [score(1, 0.0, "manager"), score(0, -0.1, channel=AGENT, at_ms=4000), gap(7000, 8000)]
    row = _put_all(board, facts).row
    client.set(keys.partial(TENANT, CALL, CUSTOMER), "and then")
    client.set(keys.partial(TENANT, CALL, "agent-2"), "may i")
    client.sadd(keys.partials(TENANT, CALL), "agent-2", "ivr")
    detail = board.detail(TENANT, CALL)
    assert replace(detail.row, late_ms=0) == row
    assert [(said.channel, said.start_ms) for said in detail.said] == [
        (AGENT, 4000),
        (CUSTOMER, 10_000),
    ]
    assert [said.polarity for said in detail.said] == [-0.1, 0.0]
    assert [(gap.start_ms, gap.end_ms) for gap in detail.unheard] == [(7000, 8000)]
    assert [alert.reason for alert in detail.alerts] == ["asked for a manager"]
    assert detail.partials == {"agent-2": "may i", CUSTOMER: "and then"}


def test_lost_redis_is_unavailable():
    """Without a Redis every call fails with the error that is answered 503."""
    board = Board.from_url(f"redis://127.0.0.1:{redis_server.free_port()}/0")
    for ask in (board.ping, lambda: board.put(start()), lambda: board.snapshot(TENANT)):
        with pytest.raises(StoreUnavailable):
            ask()


def test_hanging_redis_is_unavailable():
    """A Redis that takes connections and never answers is given up; all tries take under 1 s."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        board = Board.from_url(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        with pytest.raises(StoreUnavailable):
            board.put(start())
        board.close()
        deaf.setblocking(False)
        tries = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                deaf.accept()[0].close()
                tries += 1
    try_s = board._client.connection_pool.connection_kwargs["socket_timeout"]
    assert 0 < tries * try_s < 1


@pytest.mark.parametrize("read", [
    lambda board: board.snapshot(TENANT), lambda board: board.detail(TENANT, CALL),
])  # fmt: skip
def test_reads_are_of_one_moment(board, client, read):
    """What is shown together is read in one transaction: nothing changes between its parts."""
    board.put(start())
    client.config_resetstat()
    read(board)
    assert client.info("commandstats")["cmdstat_exec"]["calls"] == 1


def test_full_redis_is_unavailable(board, client):
    """A Redis out of memory refuses the event as a whole and takes it when there is room again."""
    try:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable):
            board.put(start())
    finally:
        client.config_set("maxmemory", 0)
    assert board.snapshot(TENANT).rows == ()
    assert board.put(start()).row.line == "line-7"


@pytest.mark.parametrize("read", [
    lambda board: board.snapshot(TENANT), lambda board: board.detail(TENANT, CALL),
])  # fmt: skip
def test_full_redis_is_read(board, redis_url, read):
    """A Redis out of memory, which takes no transaction, is shown as one with room."""
    board.put(score(0, text="lawyer"))
    before = read(board)
    with full(redis_url):
        shown = read(board)
    assert shown.alerts == before.alerts != ()


def test_full_redis_takes_end(board, client, redis_url):
    """A Redis out of memory takes the end of a call, so that its row goes soon."""
    board.put(start())
    with full(redis_url):
        board.put(end())
    leaves_ms = client.zscore(keys.board_expiries(TENANT), CALL)
    assert leaves_ms <= (client.time()[0] + 1 + keys.ENDED_ROW_EXPIRES_S) * 1000


def test_full_redis_is_cleared(board, client, redis_url):
    """A Redis out of memory is cleared of calls that are due, by any event that comes."""
    board.put(start(call="c-due"))
    client.zadd(keys.board_expiries(TENANT), {"c-due": 1})
    with full(redis_url):
        board.put(start())
    assert client.hkeys(keys.board_rows(TENANT)) == [CALL]


def test_full_redis_notes_published(board, redis_url):
    """A Redis out of memory is told of an alert that was published, or it would be sent again."""
    told = score(0, text="lawyer")
    (alert,) = board.put(told).unpublished
    with full(redis_url):
        board.mark_published(alert)
    assert board.put(told).unpublished == []


def test_last_words_do_not_stay(board, client):
    """What is kept of a tenant goes when its last call leaves the board, if nothing comes after."""
    board.put(score(0, text="lawyer"))
    long_s = {client.ttl(name) for name in client.keys(f"board:{TENANT}:*")}
    board.put(end())
    short_s = {client.ttl(name) for name in client.keys(f"board:{TENANT}:*")}
    assert min(long_s) > keys.ENDED_ROW_EXPIRES_S
    assert min(short_s) > 0
    assert client.ttl(keys.board_rows(TENANT)) <= keys.ENDED_ROW_EXPIRES_S


def test_other_calls_keep_tenants_keys(board, client):
    """The end of one call takes nothing from a call that goes on."""
    board.put(start(call="c-on"))
    board.put(start())
    board.put(end())
    assert client.ttl(keys.board_rows(TENANT)) > keys.ENDED_ROW_EXPIRES_S


def test_snapshot_reads_health(board, client):
    """The snapshot carries what decoders, functions and dispatcher report, and what waits."""
    board_seed.seed_health(client)
    client.sadd(keys.PODS, "decoder-gone")
    health = board.snapshot(TENANT).health
    assert [(each.pod, each.sessions) for each in health.decoders] == [
        ("decoder-1", 31),
        ("decoder-2", 27),
    ]
    assert [(each.name, each.replicas) for each in health.functions] == [
        ("board", 0),
        ("sentiment", 1),
    ]
    assert (health.lag["sentiment"], health.dead_letters["sentiment"], health.outbox) == (2, 1, 1)
    assert list(health.oldest_at_ms) == ["outbox"]
    assert 0 <= board.snapshot(TENANT).taken_at_ms - health.oldest_at_ms["outbox"] < 60_000


def test_seed_is_plausible(board, client):
    """The seed that the dashboard is tried with has bad, silent, ended and fine calls."""
    board_seed.seed(board, 12)
    board_seed.seed_partials(client, board)
    rows = board.snapshot(TENANT).rows
    assert len(rows) == 12
    assert max(row.help_score for row in rows) > 60
    assert any(row.ended_at_ms for row in rows)
    assert any(row.help_score < 10 for row in rows)
    assert {"long-silence", "negative-streak"} <= {rule for row in rows for rule in row.rules}
    assert board.detail(TENANT, rows[0].call).partials


def test_order_free_in_silence(board, client):
    """The gap is told last, and yet nothing else is shown than where it is told first."""
    said = [score(i, channel=MIXED, at_ms=at_ms) for i, at_ms in enumerate((0, 40_000))]
    unheard = gap(5000, 30_000, MIXED)
    assert isinstance(unheard, Missing)
    first = _put_all(board, [unheard, *said]).row
    client.flushall()
    assert _put_all(board, [*said, unheard]).row == first


def test_sender_clock_is_allowed_for(board, client):
    """How far words lie behind the board's clock is told with it, and the least counts."""
    now_ms = round(time.time() * 1000)
    for index, behind_ms in enumerate((600_000, 605_000)):
        began_ms = now_ms - behind_ms - 2000 - index * 10_000
        board.put(score(index, started_at_ms=began_ms))
    (row,) = board.snapshot(TENANT).rows
    assert 600_000 <= row.late_ms < 603_000
    assert board.detail(TENANT, CALL).row == row
    client.zadd(keys.board_expiries(TENANT), {CALL: 1})
    board.put(start("call-2"))
    assert client.hgetall(keys.board_lags(TENANT)) == {}


def test_call_id_may_be_anything(board, client):
    """Calls, alerts and details are told apart whatever is in a call's id."""
    names = ["a|b", "a", "a:b", "{1}@x/%7C y"]
    for name in names:
        board.put(score(0, text="get me a manager", call=name))
    assert {row.call for row in board.snapshot(TENANT).rows} == set(names)
    assert {alert.call for alert in board.snapshot(TENANT).alerts} == set(names)
    assert [board.detail(TENANT, name).row.call for name in names] == names
    assert client.exists(keys.board_call(TENANT, "a|b"))
    assert board.detail(TENANT, "a|") is None


def test_updates_cost_the_same(board, client):
    """However often a call is updated, its last words fit into one field of bounded length."""
    board.put(start(agent="Ann"))
    row = _put_all(board, [update(n, agent=f"agent-{n}") for n in range(1, 60)]).row
    assert (row.agent, row.agents_before[:2]) == ("agent-59", ("agent-58", "agent-57"))
    assert len(client.hget(keys.board_call(TENANT, CALL), "updates")) < 2000
    assert len(client.hkeys(keys.board_call(TENANT, CALL))) == 5


def test_update_alone_makes_a_row(board):
    """An update that comes before everything else is shown, and stands when the start comes."""
    assert board.put(update(5000, agent="Bob")).row.agent == "Bob"
    row = board.put(start(agent="Ann")).row
    assert (row.agent, row.agents_before, row.line) == ("Bob", ("Ann",), "line-7")
