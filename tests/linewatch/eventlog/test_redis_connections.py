"""Connections to a primary that was demoted: the next request finds the new one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from linewatch import keys
from linewatch.board.store import Board
from linewatch.decoder.outbox.relay import Relay
from linewatch.decoder.store.store import Store
from linewatch.errors import StoreUnavailable
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_connections import is_misplaced
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from linewatch.events import Record
from tests.linewatch.decoder.pods import AGENT, chunk
from tests.linewatch.decoder.store.stored import opened
from tests.support import board_facts
from tests.support.failover import failover

GROUP = Group("utterances", "linewatch-sentiment", "here")
RECORD = Record("utterances", "call-1", {"ce_id": b"0-final"}, b"{}")
#: How often a caller is refused until its next request finds the new primary.
REFUSALS = 1


@pytest.fixture(name="servers")
def _servers(tmp_path):
    with failover(tmp_path) as servers:
        yield servers


def refusals(ask):
    """Return how often *ask* is refused before it is answered."""
    for count in range(100):
        try:
            ask()
        except (StoreUnavailable, RedisError):
            continue
        return count
    raise AssertionError("it is refused for ever")


@pytest.mark.parametrize(
    "error",
    [
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError(
            "Error running script (call to f_1): @user_script:1: -READONLY You can't write"
        ),
        BusyLoadingError("Redis is loading the dataset in memory"),
        MasterDownError("Link with MASTER is down"),
        ClusterDownError("The cluster is down"),
        ResponseError("MISCONF Redis is configured to save RDB snapshots, but it cannot"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError("UNBLOCKED force unblock from blocking operation"),
    ],
)
def test_misplaced_errors_are_known(error):
    """What a server answers that takes no writes is told apart, inside of scripts, too."""
    assert is_misplaced(error)


@pytest.mark.parametrize("words", ["OOM command not allowed", "BUSYGROUP name exists", "misconf"])
def test_other_errors_keep_connection(words):
    """Any other refusal is no reason to connect anew."""
    assert not is_misplaced(ResponseError(words))


def test_steps_find_new_primary(servers):
    """A decoder with many open connections is refused once, and then takes steps again."""
    store = Store.from_url(servers.url, "pod-a")
    epoch = opened(store)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: store.peek(AGENT), range(64)))
        list(threads.map(lambda _: store.prove(AGENT, epoch), range(64)))
    servers.demote()
    assert refusals(lambda: store.commit(AGENT, epoch, chunk())) == REFUSALS
    assert servers.primary.llen(keys.tail(AGENT)) == 1
    store.drop_idle()


def test_relay_finds_new_primary(servers):
    """A relay drains the new primary's outbox after one refusal."""
    client = connect(servers.url)
    relay = Relay(client, RedisLogWriter(client), "pod-a")
    relay.turn()
    servers.demote()
    servers.primary.xadd(keys.outbox(RECORD.partition), RECORD.fields())
    relay._update_at = 0.0
    refusals(relay.turn)
    while servers.primary.xlen(keys.outbox(RECORD.partition)):
        refusals(relay.turn)
    client.close()


def test_readers_find_new_primary(servers):
    """A group's reader goes on at the new primary where it was."""
    log = RedisLog.at(servers.url)
    log.ensure(GROUP)
    log.publish([RECORD])
    servers.demote()
    assert refusals(lambda: log.read(GROUP)) <= REFUSALS
    assert servers.primary.xpending(keys.log("utterances", RECORD.partition), GROUP.name) == {
        "pending": 1,
        "min": servers.primary.xrange(keys.log("utterances", RECORD.partition))[0][0],
        "max": servers.primary.xrange(keys.log("utterances", RECORD.partition))[0][0],
        "consumers": [{"name": b"here", "pending": 1}],
    }
    log.close()


def test_writers_find_new_primary(servers):
    """What is published goes to the new primary after one refusal."""
    log = RedisLog.at(servers.url)
    log.publish([RECORD])
    servers.demote()
    assert refusals(lambda: log.publish([RECORD])) == REFUSALS
    assert servers.primary.xlen(keys.log("utterances", RECORD.partition)) == 2
    log.close()


def test_board_finds_new_primary(servers):
    """The board is written on the new primary after one refusal."""
    board = Board.from_url(servers.url)
    board.put(board_facts.start())
    servers.demote()
    assert refusals(lambda: board.put(board_facts.end())) == REFUSALS
    (row,) = Board.from_url(servers.url).snapshot(board_facts.TENANT).rows
    assert row.ended_at_ms is not None
    board.close()
