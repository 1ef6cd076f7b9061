"""What is committed is kept once a log elsewhere has it, or the disk, where Redis can tell."""

import threading

import pytest

from infra.launcher import redis_server
from linewatch import keys
from linewatch.decoder.outbox.relay import Relay
from linewatch.decoder.store.durability import Durability
from linewatch.errors import StoreUnavailable
from linewatch.eventlog.redis_writer import connect
from linewatch.events import Record, partition_of

CALL = "c1"
OUTBOX = keys.outbox(partition_of(CALL))
RECORD = Record("calls", CALL, {"ce_id": b"ended"}, b"{}")
LONG_S = 60
#: From here on Redis tells what is on its disk.
TELLS = (7, 2)


class Elsewhere:
    """A log that lies in no Redis, and acknowledges when its *gate* is open."""

    def __init__(self):
        self.gate = threading.Event()
        self.records = []

    def publish(self, records):
        """Take *records* once the gate is open."""
        if records:
            self.gate.wait()
        self.records += records


@pytest.fixture(name="own")
def _own(redis_url):
    """A client of a Redis that writes nothing to disk."""
    with connect(redis_url) as client:
        yield client


@pytest.fixture(name="written")
def _written(tmp_path):
    """A client of a Redis that writes to disk once a second."""
    port = redis_server.free_port()
    process = redis_server.start(port, tmp_path)
    try:
        with connect(f"redis://127.0.0.1:{port}/0") as client:
            yield client
    finally:
        process.kill()
        process.wait()


def test_published_is_kept(own):
    """It is kept when the log elsewhere acknowledged the last event, and not before."""
    elsewhere = Elsewhere()
    durability = Durability(own, has_log_elsewhere=True)
    own.xadd(OUTBOX, RECORD.fields())
    relay = Relay(own, elsewhere, "pod-a")
    relaying = threading.Thread(target=relay.turn)
    relaying.start()
    assert not durability.is_kept(CALL, 0.1)
    elsewhere.gate.set()
    assert durability.is_kept(CALL, LONG_S)
    assert elsewhere.records == [RECORD]
    relaying.join()


def test_nothing_waits_for_later_events(own):
    """An event that comes into the outbox later is not waited for."""
    own.xadd(OUTBOX, RECORD.fields(), id="5-0")
    durability = Durability(own, has_log_elsewhere=True, sleep=lambda _: _replace(own))
    assert durability.is_kept(CALL, LONG_S)
    assert own.xlen(OUTBOX) == 1


def _replace(client):
    client.xdel(OUTBOX, "5-0")
    client.xadd(OUTBOX, RECORD.fields(), id="6-0")


def test_empty_outbox_is_kept(own):
    """Where the outbox is empty the log has everything."""
    assert Durability(own, has_log_elsewhere=True).is_kept(CALL, 0)


def test_log_in_redis_keeps_nothing(own):
    """A log in the same Redis, which writes nothing to disk, keeps nothing."""
    assert not Durability(own, has_log_elsewhere=False).is_kept(CALL, 0.1)


def test_disk_keeps_where_told(written):
    """A Redis that can tell is waited for until the event is on its disk."""
    version = tuple(map(int, written.info("server")["redis_version"].split(".")))
    written.xadd(OUTBOX, RECORD.fields())
    kept = Durability(written, has_log_elsewhere=False).is_kept(CALL, 5 if version >= TELLS else 0)
    assert kept == (version >= TELLS)


class Disk:
    """A client whose Redis tells *answers* of its disk, one a look."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def xrevrange(self, *_, **__):
        """Say that the outbox is empty."""
        return []

    def pipeline(self, **_):
        """Take commands."""
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def time(self):
        """Take a command."""

    def waitaof(self, *_):
        """Take a command."""

    def execute(self):
        """Answer both."""
        return [(0, 0), [next(self.answers), 0]]


def test_disk_is_asked_until_it_has():
    """The disk is asked again and again until it has what was written."""
    disk = Disk([0, 0, 1])
    assert Durability(disk, has_log_elsewhere=False).is_kept(CALL, LONG_S)
    assert list(disk.answers) == []


def test_away_is_unavailable():
    """While Redis is away nobody knows."""
    away = Durability(connect("redis://127.0.0.1:1/0"), has_log_elsewhere=True)
    with pytest.raises(StoreUnavailable):
        away.is_kept(CALL, 1)
