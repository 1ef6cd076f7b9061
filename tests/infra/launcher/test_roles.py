"""What each process is told, and in which order they start."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from infra.launcher import probes, roles

PORTS = roles.Ports(decoders=(1001, 1002), activator=1003, sink=1004, dashboard=1005)


def site(**changes):
    """A run with the facts of this module, but for *changes*."""
    facts = {
        "ports": PORTS,
        "redis_url": "redis://127.0.0.1:1006/0",
        "model": Path("model"),
        "cookie_key": "secret",
        "lines": 3,
        "environment": {
            "PATH": "bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOST": "elsewhere",
            "REPLY": "true",
        },
        "decoder_environment": {"LD_PRELOAD": "jemalloc", "OPENBLAS_CORETYPE": "Haswell"},
    }
    return roles.Site(**(facts | changes))


@pytest.fixture(name="by_name")
def _by_name():
    return {role.name: role for stage in roles.stages(site()) for role in stage}


def test_callers_start_last():
    """Who is called is ready before who calls: the lines start last and so stop first."""
    names = [[role.name for role in stage] for stage in roles.stages(site())]
    assert names == [
        ["decoder-1", "decoder-2", "sink", "activator", "dashboard"],
        ["dispatcher"],
        ["simulator"],
    ]


def test_kafka_makes_topics_first():
    """With brokers the topics are made, by a command, before who writes to them starts."""
    first, second, *_ = roles.stages(site(brokers="kafka:9092"))
    assert [role.name for role in first] == ["topics"]
    assert first[0].ends
    assert "eventing.topics" in first[0].command
    assert second[0].name == "decoder-1"


def test_every_role_knows_brokers():
    """With brokers every role is told them, and how the shell says they are reached."""
    theirs = {"KAFKA_USERNAME": "line", "SSL_CERT_PATH": "ca.pem", "KAFKA_BROKERS": "other:1"}
    stages = roles.stages(site(brokers="kafka:9092", environment=theirs))
    for role in (role for stage in stages for role in stage):
        assert role.env["KAFKA_BROKERS"] == "kafka:9092"
        assert (role.env["KAFKA_USERNAME"], role.env["SSL_CERT_PATH"]) == ("line", "ca.pem")


def test_redis_hears_nothing_of_kafka():
    """Without brokers what the shell holds for Kafka reaches no role."""
    theirs = {"KAFKA_BROKERS": "other:1", "KAFKA_USERNAME": "x", "SSL_CERT_PATH": "y", "PATH": "z"}
    for role in (role for stage in roles.stages(site(environment=theirs)) for role in stage):
        assert not {"KAFKA_BROKERS", "KAFKA_USERNAME", "SSL_CERT_PATH"} & set(role.env)
        assert role.env["PATH"] == "z"


def test_no_lines_no_simulator():
    """LINES=0 starts everything but the simulated lines."""
    assert [role.name for stage in roles.stages(site(lines=0)) for role in stage][
        -1
    ] == "dispatcher"


def test_decoders_are_told_apart(by_name):
    """Each decoder has its port; both share Redis, model and cookie key."""
    first, second = by_name["decoder-1"].env, by_name["decoder-2"].env
    assert {name for name in first if first[name] != second[name]} == {"PORT"}
    assert (first["PORT"], second["PORT"]) == ("1001", "1002")
    assert first["VOSK_MODEL_PATH"] == "model"
    assert first["COOKIE_KEYS"] == "secret"


def test_kernels_are_for_decoders(by_name):
    """Allocator and kernels that the digest stands for are set for the decoders only."""
    preloaded = {name for name, role in by_name.items() if "LD_PRELOAD" in role.env}
    assert preloaded == {"decoder-1", "decoder-2"}
    assert by_name["decoder-2"].env["OPENBLAS_CORETYPE"] == "Haswell"


def test_bytecode_is_written(by_name):
    """No process is kept from writing bytecode: cold starts live on it."""
    assert not [role for role in by_name.values() if "PYTHONDONTWRITEBYTECODE" in role.env]


def test_dashboard_dies_with_launcher(by_name):
    """Streamlit would outlive a killed launcher on SIGTERM; the others end by themselves."""
    killed = {name for name, role in by_name.items() if role.orphan_signal == signal.SIGKILL}
    assert killed == {"dashboard"}


def test_dashboard_is_probed_under_its_path(monkeypatch):
    """Under a path the dashboard is told it, and is ready when its health answers there."""
    asked = []
    monkeypatch.setattr(probes, "answers", lambda *where: asked.append(where))
    found = {role.name: role for each in roles.stages(site(dashboard_path="/b")) for role in each}

    assert found["dashboard"].env["STREAMLIT_SERVER_BASE_URL_PATH"] == "/b"
    assert (PORTS.dashboard, "/b/_stcore/health") in asked


def test_shell_does_not_leak(by_name):
    """What a shell exports for others reaches a process by the launcher or not at all."""
    assert "HOST" not in by_name["sink"].env
    assert "REPLY" not in by_name["activator"].env
    assert by_name["simulator"].env["HOST"] == "http://127.0.0.1:1001,http://127.0.0.1:1002"
    assert by_name["simulator"].env["LINES"] == "3"
    assert by_name["sink"].env["PATH"] == "bin"


def test_events_find_their_way(by_name):
    """The dispatcher calls the activator, which knows where the sink is."""
    assert by_name["dispatcher"].env["SERVICE_URL"] == "http://127.0.0.1:1003/{name}"
    assert by_name["activator"].env["SINK_URL"] == "http://127.0.0.1:1004"


def test_everyone_shares_redis(by_name):
    """Every process is told the same Redis, whatever the environment says."""
    assert {role.env["REDIS_URL"] for role in by_name.values()} == {"redis://127.0.0.1:1006/0"}


def test_own_cookie_keys_win():
    """COOKIE_KEYS of the environment are used instead of the project's own."""
    mine = site(environment={"COOKIE_KEYS": "new,old"})
    assert roles.stages(mine)[0][0].env["COOKIE_KEYS"] == "new,old"


def test_redis_holds_lock(tmp_path):
    """Our own Redis keeps the folder's lock open, and writes there."""
    role = roles.redis(1006, tmp_path, 7)
    assert role.pass_fds == (7,)
    assert str(tmp_path) in role.command
    assert role.command[-2:] == ("--loglevel", "warning")


def test_redis_keeps_and_has_a_limit(tmp_path):
    """Our own Redis writes down what it is told, and decoders can tell when it fills up."""
    command = roles.redis(1006, tmp_path, 7).command
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory"] == "1gb"
    assert options["--maxmemory-policy"] == "noeviction"
