"""``POST /decode``, the route of the original demo's clients."""

import json

import pytest
import redis

from linewatch import keys
from tests.linewatch.decoder.phone_requests import problem
from tests.linewatch.decoder.pods import aged, outbox, told
from tests.support import fakes


class TestDecode:
    """``POST /decode``, as the original demo's clients send it."""

    def ask(self, web, samples, **fields):
        """Send what a client sends."""
        body = {
            "audio": [int(each) for each in samples],
            "sample_rate": None,
            "do_finalize": False,
            "id": "phone-1",
        }
        return web.post("/decode", json={**body, **fields})

    def test_words_come_and_are_final(self, web, redis_url):
        """Partial words come while somebody speaks, all words and their confidence at the end."""
        sound = fakes.speech(2.0, 16_000)
        partials = [
            self.ask(web, sound[begin : begin + 8000]).json for begin in range(0, 32_000, 8000)
        ]
        assert partials[-1]["hstr"]
        assert partials[-1]["confidence"] == 0.0
        final = self.ask(web, [], do_finalize=True)
        assert set(final.json) == {"hstr", "confidence"}
        assert final.json["hstr"] == told_text(redis_url)[-1]
        assert final.json["confidence"] == 1.0
        assert len({name[1] for name in told(redis_url)}) == 2

    def test_clients_are_apart(self, web, redis_url):
        """Each client's id is a call of its own."""
        for name in ("phone-1", "phone-2"):
            assert self.ask(web, [0] * 800, id=name).json == {"hstr": "", "confidence": 0.0}
        assert len(told(redis_url, "started")) == 2

    def test_client_goes_on_after_end(self, web, service, redis_url):
        """When a client's call was ended by the reaper, its next request begins another."""
        now_ms = [service.now_ms()]
        object.__setattr__(service, "now_ms", lambda: now_ms[0])
        self.ask(web, [0] * 800)
        with redis.Redis.from_url(redis_url) as client:
            (member,) = client.zrange(keys.SESSIONS, 0, -1)
            key = keys.of_member(member.decode())
            aged(client, key, 7200)
        service.sessions.park(key, 30)
        limits = {"quiet_s": 1, "paused_s": 1}
        assert service.store.abandon(key.tenant, key.call, now_ms[0], **limits)
        now_ms[0] += 1
        assert self.ask(web, [0] * 800).status_code == 200
        assert self.ask(web, [0] * 800).status_code == 200
        assert len(told(redis_url, "started")) == 2

    def test_no_pause(self, web, service, redis_url):
        """A client that went away after an utterance is given up like any other."""
        self.ask(web, [0] * 800, do_finalize=True)
        with redis.Redis.from_url(redis_url) as client:
            (member,) = client.zrange(keys.SESSIONS, 0, -1)
        assert not service.store.peek(keys.of_member(member.decode())).paused

    @pytest.mark.parametrize("fields", [
        {"broker": "evil:9092"}, {"topic": "x"}, {"callback": "http://169.254.169.254/"},
        {"sample_rate": 0}, {"sample_rate": "8000"}, {"do_finalize": 1}, {"id": None},
        {"audio": [70_000]}, {"audio": [1.5]}, {"audio": "AAAA"},
    ])  # fmt: skip
    def test_wrong_request(self, web, redis_url, fields):
        """A wrong request, or one that names a host, is 400 and leaves nothing behind."""
        problem(self.ask(web, [0] * 8, **fields), 400, "bad-request")
        with redis.Redis.from_url(redis_url) as client:
            assert client.keys() == []


def told_text(redis_url):
    """Return the texts of all utterances."""
    rows = [dict(row) for row in outbox(redis_url)]
    return [json.loads(row[b"value"])["text"] for row in rows if b"final" in row[b"ce_type"]]
