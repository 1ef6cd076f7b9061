"""One decoder put together, its settings, and how gunicorn runs it."""

import runpy
import socket
from pathlib import Path
from selectors import DefaultSelector
from types import SimpleNamespace

import pytest
import redis

from eventing import topics
from linewatch import keys
from linewatch.calls import CallStart, Channel
from linewatch.decoder import service as module
from linewatch.decoder.http import worker
from linewatch.decoder.ownership import housekeeping
from linewatch.decoder.service import address_of, build
from linewatch.decoder.settings import DecoderSettings
from linewatch.errors import SettingsError
from linewatch.events import partition_of
from linewatch.settings import load, token_digest
from tests.linewatch.decoder.pods import AGENT, START
from tests.support import fakes, kafka_broker
from tests.support.waiting import eventually

ENV = {"VOSK_MODEL_PATH": "~/model", "COOKIE_KEYS": "new, old"}
TOKENS = f"acme={token_digest('secret')}"
GUNICORN = Path(module.__file__).with_name("gunicorn.conf.py")


def resolver(*addresses):
    """Stand in for the system's resolver, which knows one name, by those *addresses*."""

    def getaddrinfo(_, __, family, kind):
        known = [each for each in addresses if family != socket.AF_INET or ":" not in each]
        return [(family, kind, 6, "", (each, 0)) for each in known]

    return getaddrinfo


def settings(**env):
    """Read settings from an environment."""
    return load(DecoderSettings, {**ENV, **env})


class TestSettings:
    """The decoder's settings."""

    def test_sound_defaults(self):
        """Model and cookie keys must be given, the rest has defaults that suit one machine."""
        read = settings()
        assert read.model_path == Path.home() / "model"
        assert read.cookie_keys == ("new", "old")
        assert (read.bind, read.port, read.tokens) == ("127.0.0.1", 8080, {})
        assert (read.idle_s, read.paused_s, read.deadline_s) == (30, 3600, 5)
        assert read.keep_undecodable == 0

    @pytest.mark.parametrize("name", ENV)
    def test_needed_ones(self, name):
        """One that is missing is named, with what it is for."""
        with pytest.raises(SettingsError, match=f"{name} must be set"):
            load(DecoderSettings, {key: value for key, value in ENV.items() if key != name})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "0"),
            ("PORT", "http"),
            ("REDIS_URL", "http://x"),
            ("POD_ADDRESS", "10.0.0.1:8080"),
            ("TOKENS", "acme"),
            ("TOKENS", "acme=secret"),
            ("TOKENS", f"={token_digest('x')}"),
            ("TOKENS", f"a b={token_digest('x')}"),
            ("THREADS", "1"),
            ("CAPACITY", "-1"),
            ("IDLE_S", "0"),
            ("DECODE_DEADLINE_S", "soon"),
            ("KEEP_UNDECODABLE", "yes"),
            ("COOKIE_KEYS", " , "),
        ],
    )
    def test_wrong_one(self, name, value):
        """One that is wrong stops the start and is named with its value."""
        with pytest.raises(SettingsError, match=name):
            settings(**{name: value})

    def test_all_at_once(self):
        """Everything that is wrong is named at once."""
        with pytest.raises(SettingsError) as caught:
            load(DecoderSettings, {"PORT": "x", "IDLE_S": "y"})
        assert all(name in caught.value.detail for name in ("PORT", "IDLE_S", "COOKIE_KEYS"))


class TestAddress:
    """How other pods reach this one."""

    def test_on_loopback(self):
        """On loopback it is loopback's, with the port."""
        assert address_of(settings(PORT="9000")) == "http://127.0.0.1:9000"

    def test_as_stated(self):
        """A stated address is the address."""
        assert address_of(settings(POD_ADDRESS="http://10.1.2.3:8080/")) == "http://10.1.2.3:8080"

    def test_by_host_name(self, monkeypatch):
        """A pod knows its IP by its own host name."""
        monkeypatch.setattr(socket, "getaddrinfo", resolver("10.1.2.3", "fd00::2"))
        read = settings(BIND="0.0.0.0", TOKENS=TOKENS)
        assert address_of(read) == "http://10.1.2.3:8080"

    @pytest.mark.parametrize("bind", ["::", "[::]"])
    def test_on_ipv6(self, monkeypatch, bind):
        """A pod that listens on IPv6 is reached by it, or by IPv4 where its name has no other."""
        read = settings(BIND=bind, TOKENS=TOKENS)
        monkeypatch.setattr(socket, "getaddrinfo", resolver("fd00::2", "10.1.2.3"))
        assert address_of(read) == "http://[fd00::2]:8080"
        monkeypatch.setattr(socket, "getaddrinfo", resolver("10.1.2.3"))
        assert address_of(read) == "http://10.1.2.3:8080"

    @pytest.mark.parametrize(
        ("bind", "host"),
        [("::1", "[::1]"), ("[fd00::2]", "[fd00::2]"), ("10.0.0.1", "10.0.0.1")],
    )
    def test_one_address(self, bind, host):
        """Where it listens on one address it is that, of IPv6 in brackets before the port."""
        assert address_of(settings(BIND=bind)) == f"http://{host}:8080"

    def test_nameless_host(self, monkeypatch):
        """A host whose name has no address stops the start and says what to set."""

        def fail(*_):
            raise socket.gaierror

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(SettingsError, match="POD_ADDRESS"):
            address_of(settings(BIND="0.0.0.0", TOKENS=TOKENS))


class TestBuild:
    """A decoder from its settings."""

    @pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.0.0.1", "decoder.example"])
    def test_no_strangers_without_tokens(self, bind):
        """Listening beyond this machine without tokens stops the start."""
        with pytest.raises(SettingsError, match="TOKENS"):
            build(settings(BIND=bind), fakes.HashRecognizers())

    def test_every_pod_is_another(self):
        """Each start is a pod of its own: what a dead one owned was not this one's."""
        first, second = (build(settings(), fakes.HashRecognizers()) for _ in range(2))
        assert first.pod_id != second.pod_id

    def test_runs_and_stops(self, redis_url):
        """A started decoder holds its lease and drains the outbox; a stopped one lets go."""
        service = build(settings(REDIS_URL=redis_url), fakes.HashRecognizers())
        service.start()
        service.store.announce(START, [Channel.AGENT])
        with redis.Redis.from_url(redis_url) as client:
            log = keys.log("calls", partition_of("c1"))
            eventually(lambda: client.xlen(log))
            assert client.exists(keys.pod(service.pod_id))
            service.stop()
            assert not client.exists(keys.pod(service.pod_id))
            assert not client.keys(keys.outbox_lease("*"))

    def test_lets_go_what_moved(self, redis_url, monkeypatch):
        """A decoder whose call another pod took over meanwhile lets its copy go by itself."""
        monkeypatch.setattr(housekeeping, "TIDY_S", 0.01)
        service = build(settings(REDIS_URL=redis_url), fakes.HashRecognizers())
        service.start()
        service.sessions.take(AGENT, fakes.chunks(fakes.speech(0.25))[0], start=START)
        assert len(service.sessions) == 1
        with redis.Redis.from_url(redis_url) as client:
            client.hincrby(keys.session(AGENT), "epoch", 1)
        eventually(lambda: len(service.sessions) == 0)
        service.stop()

    def test_events_go_to_kafka(self, own_kafka, redis_url):
        """With KAFKA_BROKERS the outbox is drained into Kafka's topics, not into Redis' log."""
        topics.main(own_kafka.env)
        told = settings(REDIS_URL=redis_url, **own_kafka.env)
        service = build(told, fakes.HashRecognizers())
        service.start()
        call = kafka_broker.unique("call")
        service.store.announce(CallStart("default", call, "7", 0), [Channel.AGENT])
        eventually(lambda: call in {record.key for record in own_kafka.read("calls")})
        service.stop()
        with redis.Redis.from_url(redis_url) as client:
            assert not client.exists(keys.log("calls", partition_of(call)))
            assert not client.xlen(keys.outbox(partition_of(call)))

    def test_absent_kafka_stops_start(self, redis_url):
        """No broker at KAFKA_BROKERS is one line that says why, and nothing is started."""
        kafka = {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "1", "KAFKA_TOPICS_S": "0"}
        told = settings(REDIS_URL=redis_url, **kafka)
        with pytest.raises(SettingsError, match=r"Kafka at 127\.0\.0\.1:1 does not let us in: 111"):
            build(told, fakes.HashRecognizers())


def worker_with(**service):
    """Return gunicorn's worker as it is once it has loaded a service."""
    made = worker.Worker.__new__(worker.Worker)
    made.wsgi = SimpleNamespace(extensions={"linewatch": SimpleNamespace(**service)})
    return made


class TestGunicorn:
    """The configuration that gunicorn reads."""

    @pytest.fixture(name="conf")
    def _conf(self, monkeypatch):
        for name, value in {**ENV, "PORT": "9001", "THREADS": "8"}.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(GUNICORN))

    def test_one_worker_with_threads(self, conf):
        """One worker serves with threads: a call is pinned to a process."""
        assert (conf["bind"], conf["workers"], conf["threads"]) == ("127.0.0.1:9001", 1, 8)
        assert conf["worker_class"] == f"{worker.__name__}.Worker"

    @pytest.mark.parametrize("bind", ["::1", "[::1]"])
    def test_ipv6_stands_in_brackets(self, monkeypatch, bind):
        """Gunicorn is told of an address of IPv6 in brackets, however it was given."""
        for name, value in {**ENV, "BIND": bind, "PORT": "9001"}.items():
            monkeypatch.setenv(name, value)
        assert runpy.run_path(str(GUNICORN))["bind"] == "[::1]:9001"

    def test_second_worker_is_refused(self, conf, capsys):
        """More workers, by whatever way, stop the start."""

        class Server:
            """gunicorn's arbiter."""

            class cfg:  # noqa: N801 - gunicorn's name
                """Its configuration."""

                workers = 2
                is_ssl = False

        with pytest.raises(SystemExit) as caught:
            conf["on_starting"](Server)
        assert caught.value.code == 2
        assert "one worker" in capsys.readouterr().err

    def test_leaves_at_once(self):
        """A worker told to end closes its door and drops its lease before its last answers."""
        told, door = [], socket.socket()
        leaving = worker_with(pod=SimpleNamespace(stop=lambda: told.append("left")))
        leaving.sockets, leaving.poller, leaving._accepting = (door,), DefaultSelector(), False
        leaving.alive = True
        leaving.set_accept_enabled(True)
        leaving.set_accept_enabled(False)
        assert (told, door.fileno() >= 0) == ([], True)
        leaving.alive = False
        leaving.set_accept_enabled(False)
        assert (told, door.fileno() >= 0) == (["left"], False)

    def test_tls_is_not_ours(self, conf, capsys):
        """A certificate given to gunicorn stops the start: nobody here would speak TLS."""

        class Server:
            """gunicorn's arbiter."""

            class cfg:  # noqa: N801 - gunicorn's name
                """Its configuration."""

                workers = 1
                is_ssl = True

        with pytest.raises(SystemExit) as caught:
            conf["on_starting"](Server)
        assert caught.value.code == 2
        assert "TLS" in capsys.readouterr().err

    def test_lease_goes_with_worker(self, conf):
        """A worker that leaves stops its service; one that never loaded has none."""
        stopped = []
        conf["worker_exit"](None, worker.Worker.__new__(worker.Worker))
        conf["worker_exit"](None, worker_with(stop=lambda: stopped.append(True)))
        assert stopped == [True]

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [("PORT", "99999", "PORT"), ("BIND", "0.0.0.0", "TOKENS"), ("COOKIE_KEYS", None, "COOKIE")],
    )
    def test_wrong_setting_is_one_line(self, monkeypatch, capsys, name, value, said):
        """A wrong setting stops the start with status 2 and one clear line, without a traceback."""
        for key, given in {**ENV, name: value}.items():
            if given is None:
                monkeypatch.delenv(key, raising=False)
            else:
                monkeypatch.setenv(key, given)
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(GUNICORN))
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("decoder: ")
        assert said in line
