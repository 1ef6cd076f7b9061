"""Requests over real sockets to decoders that may not be there."""

from __future__ import annotations

import random
import threading

import pytest

from infra.launcher.redis_server import free_port
from linewatch.errors import Unavailable
from linewatch.gateway.decoders import SHUN_S, SILENT_S, Decoders
from tests.linewatch.gateway.stand_in import Decoder, served
from tests.support.waiting import eventually

STATE = "/v1/calls/c-1/channels/agent"


def _decoders(*urls, **options):
    return Decoders(urls, chance=random.Random(3), **options)


def test_answer_carries_everything():
    """Status, headers by lower-case name, cookies and body come back."""
    with served(Decoder(["503"])) as url:
        decoders = _decoders(url)
        answer = decoders.send("GET", STATE, {}, b"")
        decoders.close()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert b"store-unavailable" in answer.body


def test_token_goes_with_requests():
    """A configured token authorises every request, and none is sent without one."""
    decoder = Decoder()
    with served(decoder) as url:
        for token in ("secret", ""):
            decoders = _decoders(url, token=token)
            decoders.send("GET", STATE, {}, b"")
            decoders.close()
    sent = [headers.get("authorization") for _, _, headers in decoder.seen]
    assert sent == ["Bearer secret", None]


def test_every_host_is_used():
    """Requests spread over all hosts at random."""
    left, right = Decoder(), Decoder()
    with served(left) as one, served(right) as two:
        decoders = _decoders(one, two)
        for _ in range(40):
            decoders.send("GET", STATE, {}, b"")
        decoders.close()
    assert len(left.seen) + len(right.seen) == 40
    assert min(len(left.seen), len(right.seen)) >= 8


def test_base_path_is_kept():
    """A decoder may live below a path of its host."""
    decoder = Decoder()
    with served(decoder) as url:
        decoders = _decoders(f"{url}/decoder")
        decoders.send("GET", STATE, {}, b"")
        decoders.close()
    assert decoder.seen[0][1] == f"/decoder{STATE}"


@pytest.mark.parametrize("fault", ["down", "slow"])
def test_silence_is_unavailable(fault):
    """A connection that is dropped or stays silent is an error, before any answer came."""
    decoder = Decoder([fault])
    with served(decoder, slow_s=300) as url:
        decoders = _decoders(url, read_s=0.2)
        with pytest.raises(Unavailable):
            decoders.send("GET", STATE, {}, b"")
        assert decoder.seen == []
        decoders.close()


def test_refused_connect_is_unavailable():
    """Where nobody listens the error comes at once."""
    decoders = _decoders(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="no decoder answered"):
        decoders.send("GET", STATE, {}, b"")


def test_dead_host_is_passed_over():
    """A host that took no connection is not asked for a second, then once more."""
    live, now_s = Decoder(), [100.0]
    with served(live) as url:
        urls = (f"http://127.0.0.1:{free_port()}", url)
        decoders = _decoders(*urls, monotonic_s=lambda: now_s[0])
        failed = [_fails(decoders) for _ in range(40)]
        assert sum(failed) == 1
        now_s[0] += SHUN_S
        assert sum(_fails(decoders) for _ in range(40)) == 1
        decoders.close()
    assert len(live.seen) == 78


def test_silent_host_is_passed_over():
    """Neither is one that took the request and stayed silent: it may be a stopped process."""
    live = Decoder()
    with served(Decoder(["slow"]), slow_s=0.6) as silent, served(live) as url:
        decoders = _decoders(silent, url, read_s=0.2, monotonic_s=lambda: 100.0)
        failed = [_fails(decoders) for _ in range(40)]
        decoders.close()
    assert sum(failed) == 1
    assert len(live.seen) == 39


class _First:
    """A chance that always takes the first."""

    def choice(self, several):
        """Return the first."""
        return several[0]


class _Hanging(Decoder):
    """Answers nothing until *released*."""

    def __init__(self):
        super().__init__()
        self.begun, self.released = threading.Event(), threading.Event()

    def answer(self, *request):
        """See `Decoder`."""
        self.begun.set()
        self.released.wait(60)
        return super().answer(*request)


def test_hanging_host_is_passed_over():
    """A host with a request in hand that answers nobody gets no other, before any time-out."""
    hanging, live, now_s = _Hanging(), Decoder(), [100.0]
    with served(hanging) as first, served(live) as second:
        decoders = Decoders(
            (first, second), chance=_First(), read_s=60, monotonic_s=lambda: now_s[0]
        )
        held = threading.Thread(target=_fails, args=(decoders,))
        held.start()
        assert hanging.begun.wait(60)
        now_s[0] += SILENT_S + 0.1
        for _ in range(5):
            decoders.send("GET", STATE, {}, b"")
        assert len(live.seen) == 5
        hanging.released.set()
        held.join()
        decoders.send("GET", STATE, {}, b"")
        decoders.close()
    assert len(hanging.seen) == 2


def test_one_slow_answer_is_no_silence():
    """A host that answered others meanwhile is asked on, though one request took too long."""
    slow, other, now_s = Decoder(["slow"]), Decoder(), [100.0]
    with served(slow, slow_s=8.0) as first, served(other) as second:
        decoders = Decoders(
            (first, second), chance=_First(), read_s=2.0, monotonic_s=lambda: now_s[0]
        )
        held = threading.Thread(target=_fails, args=(decoders,))
        held.start()
        eventually(lambda: decoders._targets[0].in_hand and not slow.faults)
        now_s[0] += 0.1
        decoders.send("GET", STATE, {}, b"")
        held.join()
        decoders.send("GET", STATE, {}, b"")
        decoders.close()
    assert other.seen == []


def test_all_dead_are_still_asked():
    """Where every host is passed over, one of them is tried all the same."""
    decoders = _decoders(f"http://127.0.0.1:{free_port()}", monotonic_s=lambda: 100.0)
    assert all(_fails(decoders) for _ in range(3))


def _fails(decoders):
    try:
        decoders.send("GET", STATE, {}, b"")
    except Unavailable:
        return True
    return False
