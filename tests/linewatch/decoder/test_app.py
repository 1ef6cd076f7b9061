"""The decoder's application: a whole call, its routes, its fast lane and its start."""

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from linewatch.decoder import app as module
from linewatch.decoder.app import app_of, create
from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.decoder.ownership.cookies import COOKIE
from linewatch.decoder.ownership.placing import Placing
from linewatch.decoder.ownership.road import Road
from linewatch.errors import SettingsError
from tests.linewatch.decoder.phone_requests import AGENT, CHUNKS, audio, post_good, problem
from tests.linewatch.decoder.pods import conversation, outbox, steps_of, told
from tests.support import fakes


class TestCall:
    """A call from its announcement to its end."""

    def test_whole_call(self, web, redis_url):
        """A call is announced, heard and ended; every reply says where it stands."""
        announced = web.post("/v1/calls", json={"call": "c1", "line": "l1", "channels": ["agent"]})
        assert announced.status_code == 201
        for step in CHUNKS:
            reply = audio(web, step)
            assert reply.status_code == 200
            assert reply.json["next_seq"] == step.seq + 1
            assert reply.json["next_position"] == step.end_position
        state = web.get(AGENT)
        assert state.json == {
            "stream": "s1",
            "next_seq": len(CHUNKS),
            "next_position": CHUNKS[-1].end_position,
            "rate_hz": 8000,
            "ended": False,
        }
        ended = web.post(f"{AGENT}/end?after=-1", json={"stream": "s1", "seq": len(CHUNKS)})
        finals = ended.json["finals"]
        assert set(finals[0]) == {"index", "first_sample", "start_ms", "end_ms", "text", "words"}
        assert [f"{final['first_sample']}-final" for final in finals] == [
            name[2] for name in told(redis_url, "utterance")
        ]
        assert web.get(AGENT).json["ended"]
        again = web.post(f"{AGENT}/end?after=-1", json={"stream": "s1", "seq": len(CHUNKS)})
        assert (again.status_code, again.json["finals"]) == (200, finals)

    def test_announce_is_idempotent(self, web, redis_url):
        """The same call announced again is 200 with its first start."""
        body = {"call": "c1", "started_at": "2026-01-01T00:00:00Z"}
        first, again = (web.post("/v1/calls", json=body) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json == again.json == {"call": "c1", "started_at_ms": 1_767_225_600_000}
        assert len(told(redis_url, "started")) == 1

    def test_start_is_the_chunks_time(self, web, redis_url):
        """Unannounced, a call starts when its first chunk says, else now."""
        audio(web)
        audio(web, channel="/v1/calls/c2/channels/agent", ce_time=None)
        times = {dict(row)[b"key"]: dict(row)[b"ce_time"] for row in outbox(redis_url)}
        assert times[b"c1"] == b"2026-01-01T00:00:00Z"
        assert times[b"c2"] > b"2026-06"

    def test_gap_moves_on(self, web, redis_url):
        """A stated gap is told and the sender goes on after it."""
        audio(web)
        body = {"stream": "s1", "from_seq": 1, "next_seq": 4, "position": 8000, "reason": "lost"}
        reply = web.post(f"{AGENT}/gap?after=-1", json=body)
        assert (reply.json["next_seq"], reply.json["next_position"]) == (4, 8000)
        assert len(told(redis_url, "gap")) == 1

    def test_after_may_be_left_out(self, web):
        """Without ``after`` a reply holds what this step brought."""
        assert audio(web, after=None).json["finals"] == []

    def test_unknown_channel_state(self, web):
        """A channel that nobody knows is 404."""
        problem(web.get(AGENT), 404, "not-found")

    def test_chunk_size_is_free(self, web, redis_url):
        """20 ms, 250 ms and 1 s chunks give the same utterances."""
        said = []
        for chunk_ms in (20, 250, 1000):
            call = f"/v1/calls/c{chunk_ms}/channels/agent"
            steps = steps_of(conversation(), chunk_ms)
            for step in steps[:-1]:
                assert audio(web, step, channel=call).status_code == 200
            reply = web.post(f"{call}/end?after=-1", json={"stream": "s1", "seq": steps[-1].seq})
            said.append(reply.json["finals"])
        assert len(said[0]) > 1
        assert said[1:] == said[:1] * 2


class TestRoutes:
    """Paths and methods."""

    @pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/calls/", "//decode", f"{AGENT}/x"])
    def test_unknown_path(self, web, path):
        """A path nobody serves is a 404 problem."""
        problem(web.post(path), 404)

    @pytest.mark.parametrize(("method", "path"), [
        ("GET", "/decode"), ("DELETE", AGENT), ("PUT", "/v1/calls"), ("POST", "/"),
        ("GET", f"{AGENT}/audio"),
    ])  # fmt: skip
    def test_wrong_method(self, web, method, path):
        """A method that a path does not take is a 405 problem that names those it takes."""
        reply = web.open(path, method=method)
        problem(reply, 405)
        assert set(reply.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} in ({"GET"}, {"POST"})

    def test_root_tells_info(self, web, service):
        """The root tells what this is and what its words depend on."""
        told_of = web.get("/").json
        assert told_of["pod"] == service.pod_id
        assert told_of["model"]["digest"] == "fake"
        assert told_of["model"]["profile"] == "fake"

    @pytest.mark.parametrize("probe", ["liveness", "readiness"])
    def test_both_probes(self, web, probe):
        """Both probes are answered, whatever Redis does."""
        assert web.get(f"/health/{probe}").json == {"status": "ok"}

    def test_metrics_can_be_parsed(self, web):
        """The metrics are Prometheus' text and count the chunk."""
        audio(web)
        reply = web.get("/metrics")
        assert reply.content_type.startswith("text/plain; version=0.0.4")
        found = {each.name: each for each in text_string_to_metric_families(reply.text)}
        assert found["linewatch_decoder_steps"].samples[0].value == 1
        assert found["linewatch_decoder_commit_seconds"].samples

    @pytest.mark.parametrize("ask", [audio, lambda web: post_good(web, f"{AGENT}/end")])
    def test_own_fault_is_a_problem(self, web, service, caplog, ask):
        """A fault of ours is a 500 problem; neither answer nor log repeat what was said."""

        def fail(_):
            raise ValueError("card number 4111")

        service.road.travel = fail
        reply = ask(web)
        assert "4111" not in reply.text
        problem(reply, 500, "internal-error")
        assert "4111" not in caplog.text
        assert "ValueError" in caplog.text


class TestFastLane:
    """Chunks, which do not go through Flask."""

    @pytest.mark.parametrize(("wrong", "status"), [
        ({"ce_type": "x"}, 400), ({"channel": "/v1/calls/%2E%2E/channels/agent"}, 400),
        ({"channel": "/v1/calls/c%E9/channels/agent"}, 400),
        ({"channel": "/v1/calls/c1/channels/Both"}, 400), ({"body": b""}, 400),
        ({"body": b"x" * (BODY_LIMIT + 1)}, 413), ({"Content_Encoding": "gzip"}, 415),
        ({"after": "x"}, 400), ({"ce_sequence": "9"}, 409), ({"Cookie": f"{COOKIE}=forged"}, 403),
    ])  # fmt: skip
    def test_bad_chunk_is_problem(self, service, wrong, status):
        """Whatever is wrong with a chunk is answered with problem JSON."""
        web = app_of(service).test_client(use_cookies=False)
        audio(web)
        problem(audio(web, **wrong), status)

    @pytest.mark.parametrize("method", ["get", "put", "head"])
    def test_other_method_is_405(self, web, method):
        """Audio comes by POST: another method is refused, and told so."""
        answer = getattr(web, method)(f"{AGENT}/audio")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")

    def test_only_chunks(self, service):
        """Nothing but a chunk passes Flask by."""
        seen = []
        web = app_of(service)
        web.before_request(lambda: seen.append(True))
        audio(web.test_client())
        assert not seen
        web.test_client().get(AGENT)
        assert seen


class TestCreate:
    """What gunicorn calls."""

    @pytest.fixture(autouse=True)
    def _quiet(self, monkeypatch):
        monkeypatch.setattr(logging, "basicConfig", lambda **_: None)

    def test_wrong_setting(self, monkeypatch, capsys):
        """A wrong setting ends the worker so that gunicorn stops, with one clear line."""
        monkeypatch.delenv("VOSK_MODEL_PATH", raising=False)
        monkeypatch.setenv("COOKIE_KEYS", "x")
        with pytest.raises(SystemExit) as caught:
            create()
        assert caught.value.code == 4
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("decoder: VOSK_MODEL_PATH must be set")

    def test_no_model(self, monkeypatch, capsys, tmp_path):
        """So does a folder without a model."""

        def refuse(path):
            raise SettingsError(f"there is no model in {path}")

        monkeypatch.setattr(module, "load", refuse)
        monkeypatch.setenv("VOSK_MODEL_PATH", str(tmp_path))
        monkeypatch.setenv("COOKIE_KEYS", "x")
        with pytest.raises(SystemExit):
            create()
        assert "no model" in capsys.readouterr().err

    def test_started_application(self, monkeypatch, redis_url):
        """With good settings the application serves and its threads run."""
        monkeypatch.setattr(module, "load", lambda _: fakes.HashRecognizers())
        monkeypatch.setenv("VOSK_MODEL_PATH", "/")
        monkeypatch.setenv("COOKIE_KEYS", "x")
        monkeypatch.setenv("REDIS_URL", redis_url)
        app = create()
        service = app.extensions["linewatch"]
        assert audio(app.test_client()).status_code == 200
        assert [pod.pod for pod in service.store.pods()] == [service.pod_id]
        service.stop()


def test_edge_is_wired_to_parts(service):
    """The service holds the parts that the edge speaks to."""
    assert isinstance(service.road, Road)
    assert isinstance(service.road._placing, Placing)
