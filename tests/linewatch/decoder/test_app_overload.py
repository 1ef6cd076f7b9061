"""A decoder that cannot take a chunk: it is full, or its Redis went away."""

import json
import random
import signal

import redis

from infra.launcher import redis_server
from linewatch.calls import ChannelKey, Codec
from linewatch.decoder.app import app_of
from linewatch.decoder.ownership.housekeeping import GAUGE_EVERY
from linewatch.gateway import decoders
from linewatch.gateway.sender import ChannelSender
from tests.linewatch.decoder.phone_requests import (
    AGENT,
    CHUNKS,
    POSTS,
    STRUCTURED,
    audio,
    post_good,
    problem,
    service_of,
    start_event,
)
from tests.linewatch.decoder.pods import outbox
from tests.support.waiting import eventually


class TestFull:
    """A decoder without room."""

    def test_no_room(self, redis_url):
        """A new channel at a full decoder is 503; the one that goes on goes on."""
        web = app_of(service_of(redis_url, CAPACITY="1")).test_client()
        assert audio(web).status_code == 200
        reply = audio(web, channel="/v1/calls/c2/channels/agent")
        problem(reply, 503, "overloaded")
        assert audio(web, CHUNKS[1]).status_code == 200

    def test_refused_for_long(self, redis_url):
        """A line refused for longer than its ring holds begins once there is room, the gap told."""
        web = app_of(service_of(redis_url, CAPACITY="1")).test_client()
        audio(web)
        sender = ChannelSender(
            ChannelKey.of("default", "c2", "agent"), 0, Codec.PCMU, 8000, _Direct(web),
            stream="s2", chance=random.Random(1), ring_s=2,
        )  # fmt: skip
        for _ in range(20):
            sender.push(b"\xff" * 2000)
            sender.step()
        web.post(f"{AGENT}/end", json={"stream": "s1", "seq": 1})
        for _ in range(4):
            sender.push(b"\xff" * 2000)
            sender.step()
        while sender.step() is not None:
            assert not sender.done
        assert web.get("/v1/calls/c2/channels/agent").json["next_position"] == 48_000
        records = map(dict, outbox(redis_url))
        gaps = [json.loads(each[b"value"]) for each in records if b"gap" in each[b"ce_type"]]
        assert {gap["reason"] for gap in gaps} == {"overrun"}
        # The second makes room for what still comes, instead of a gap for each chunk of it.
        assert (len(gaps), gaps[0]["start_ms"], gaps[-1]["end_ms"]) == (2, 0, 5500)


class TestFullStore:
    """A store that runs full."""

    def test_announcement_is_refused(self, redis_url):
        """A call that nobody knows may not be announced: its audio would not be taken either."""
        service = service_of(redis_url)
        web = app_of(service).test_client()
        assert web.post("/v1/calls", json={"call": "c1"}).status_code == 201
        with redis.Redis.from_url(redis_url) as client:
            client.config_set("maxmemory", round(client.info("memory")["used_memory"] / 0.9))
            try:
                service.pod.refresh()
                problem(web.post("/v1/calls", json={"call": "c2"}), 503, "overloaded")
                problem(
                    web.post("/v1/events", json=start_event("c3"), content_type=STRUCTURED), 503
                )
                assert web.post("/v1/calls", json={"call": "c1"}).status_code == 200
            finally:
                client.config_set("maxmemory", 0)
        for _ in range(GAUGE_EVERY):
            service.pod.refresh()
        assert web.post("/v1/calls", json={"call": "c2"}).status_code == 201


class _Direct:
    """The line's way to a decoder's test client."""

    def __init__(self, web):
        self._web = web

    def send(self, method, path, headers, body):
        """Ask as a line does."""
        reply = self._web.open(path, method=method, headers=headers, data=body)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return decoders.Answer(reply.status_code, headers, (), reply.data)


class TestAway:
    """A Redis that goes away and comes back."""

    def test_503_then_resumes(self, tmp_path):
        """Without Redis everything is 503, and resumes by itself, nothing lost."""
        port = redis_server.free_port()
        url = f"redis://127.0.0.1:{port}/0"
        process = redis_server.start(port, tmp_path)
        try:
            service = service_of(url)
            service.start()
            web = app_of(service).test_client()
            for step in CHUNKS[:20]:
                before = audio(web, step).json
            process.terminate()
            process.wait()
            for path in POSTS:
                problem(post_good(web, path), 503)
            assert web.get("/health/liveness").status_code == 200
            process = redis_server.start(port, tmp_path)
            after = eventually_ok(lambda: audio(web, CHUNKS[19])).json
            assert (after["next_seq"], after["partial"]) == (20, before["partial"])
            assert audio(web, CHUNKS[20]).json["next_seq"] == 21
            service.stop()
        finally:
            process.terminate()
            process.wait()

    def test_hung_redis(self, tmp_path):
        """A Redis that hangs is 503; what it did late is a repeat, not a second."""
        port = redis_server.free_port()
        process = redis_server.start(port, tmp_path, durable=False)
        try:
            web = app_of(service_of(f"redis://127.0.0.1:{port}/0")).test_client()
            audio(web)
            process.send_signal(signal.SIGSTOP)
            problem(audio(web, CHUNKS[1]), 503, "store-unavailable")
            process.send_signal(signal.SIGCONT)
            assert eventually_ok(lambda: audio(web, CHUNKS[1])).json["next_seq"] == 2
            assert audio(web, CHUNKS[2]).json["next_seq"] == 3
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait()


def eventually_ok(ask):
    """Ask until the answer is 200."""
    return eventually(lambda: (reply := ask()).status_code == 200 and reply)
