"""The burst that wakes the sentiment function: whole calls, and a count of what was scored."""

from __future__ import annotations

import runpy
import sys

import pytest
import redis

from infra.cluster_demos import burst
from linewatch import keys
from linewatch.board.store import Board
from linewatch.events import partition_of
from tests.support.board_facts import score

AT_MS = 1_767_225_600_000


class Kept:
    """A log that keeps what is written."""

    def __init__(self):
        self.records = []

    def publish(self, records):
        """Keep *records*."""
        self.records += records


def test_burst_is_whole_calls():
    """Each call of a burst starts, speaks its share of the utterances and ends."""
    log = Kept()
    burst.publish(log, "run", 50, AT_MS)
    kinds = [record.headers["ce_type"].decode().split(".")[1:3] for record in log.records]
    assert kinds.count(["call", "started"]) == kinds.count(["call", "ended"]) == burst.CALLS
    assert kinds.count(["utterance", "final"]) == 50


def test_no_two_utterances_agree():
    """Every utterance of a burst has an identity of its own, so each one needs a score."""
    names = [
        (record.headers["ce_source"], record.headers["ce_id"])
        for record in burst.records("run", 200, AT_MS)
    ]
    assert len(set(names)) == len(names) == 200 + 2 * burst.CALLS


def test_counts_what_was_scored(redis_url):
    """An utterance counts once the board has its score, and only for its own burst."""
    board = Board.from_url(redis_url)
    assert burst.scored(board, "run") == 0
    board.put(score(0, call=burst.call_of("run", 3)))
    board.put(score(1, call=burst.call_of("run", 3)))
    assert (burst.scored(board, "run"), burst.scored(board, "other")) == (2, 0)


@pytest.fixture(name="decoders_env")
def _decoders_env(monkeypatch, redis_url):
    """What a decoder pod's environment holds."""
    for name, value in {"REDIS_URL": redis_url, "KAFKA_BROKERS": ""}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("decoders_env")
def test_runs_from_standard_input(redis_url, monkeypatch, capsys):
    """The file alone is enough: it writes to the log that the environment names, and counts."""
    for arguments in (["publish", "run", "40"], ["scored", "run"]):
        monkeypatch.setattr(sys, "argv", ["-", *arguments])
        runpy.run_path(burst.__file__, run_name="__main__")
    assert capsys.readouterr().out == "0\n"
    with redis.Redis.from_url(redis_url) as client:
        partitions = {partition_of(burst.call_of("run", number)) for number in range(burst.CALLS)}
        written = sum(client.xlen(keys.log("utterances", each)) for each in partitions)
    assert written == 40
