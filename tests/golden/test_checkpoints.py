"""Sessions that earlier code stored: this code goes on with them to the byte, or refuses loudly."""

import json

import pytest
import redis

from linewatch.decoder.store.store import VERSION
from linewatch.errors import NewerCheckpoint
from tests.golden.checkpoints import (
    CASES,
    FOLDER,
    CountingRecognizers,
    key_of,
    lay,
    made,
    path_of,
    steps_of,
)
from tests.linewatch.decoder.pods import Pod, outbox

FILES = sorted(FOLDER.glob("v*.json"))


def restored(redis_url, golden, **changed):
    """Lay a stored session and let a new pod finish its call; return what it published."""
    key = key_of(golden)
    held = golden["stored"]
    with redis.Redis.from_url(redis_url) as client:
        lay(client, key, {**held, "session": {**held["session"], **changed}})
    pod = Pod(redis_url, "pod-new", recognizers=CountingRecognizers())
    try:
        for step in steps_of(golden, "rest"):
            pod.take(key, step)
    finally:
        pod.store._redis.close()
    return [
        {name.decode(): value.decode() for name, value in record} for record in outbox(redis_url)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stored_session_goes_on(redis_url, path):
    """A session stored in the middle of a call ends with the bytes it had to end with."""
    golden = json.loads(path.read_text())
    assert restored(redis_url, golden) == golden["published"]


@pytest.mark.parametrize("case", CASES)
def test_files_are_this_version(redis_url, case):
    """What this code stores is what lies in this version's file: else the version must change."""
    golden = json.loads(path_of(case).read_text())
    parts = (steps_of(golden, part) for part in ("before", "rest"))
    assert made(redis_url, key_of(golden), *parts) == golden


@pytest.mark.parametrize("case", CASES)
def test_newer_is_refused(redis_url, case):
    """A session that newer code stored is refused with 503 and left as it is."""
    golden = json.loads(path_of(case).read_text())
    with pytest.raises(NewerCheckpoint):
        restored(redis_url, golden, version=VERSION + 1)
    assert outbox(redis_url) == []


def test_tail_changes_the_words(redis_url):
    """The stored tail matters: without its last step the words come out differently."""
    golden = json.loads(path_of("talking").read_text())
    shorter = {**golden, "stored": {**golden["stored"], "tail": golden["stored"]["tail"][:-1]}}
    assert restored(redis_url, shorter) != golden["published"]
