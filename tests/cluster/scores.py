"""The scores of a call: in the topic, and on the board."""

from __future__ import annotations

import json

BOARD = """
import os, sys
from linewatch.board.store import Board
with_scores = Board.from_url(os.environ["REDIS_URL"]).detail("default", sys.argv[1])
print(len([said for said in with_scores.said if said.polarity is not None]) if with_scores else 0)
"""


def on_board(cluster, call):
    """Return how many utterances of a call the board shows with their score."""
    pod = next(each for each in cluster.pods_of("decoder") if each.ready)
    # Nothing where the store was slower than its time-out.
    return int(cluster.python(pod, BOARD, call, check=False) or -1)


def scored(topics, ids):
    """Return what was scored, by the id of its utterance."""
    found = topics.published("scores", ids)
    return {
        (source, scored_id.partition(b"-")[0] + b"-final"): json.loads(dict(copies[0])[b"value"])
        for (source, scored_id), copies in found.items()
    }
