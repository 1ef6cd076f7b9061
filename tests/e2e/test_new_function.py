"""What a new function costs: one folder and one manifest, and it scales from zero."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest
import redis

from infra.launcher.redis_server import free_port
from linewatch import events, keys
from linewatch.calls import Alert, Severity
from linewatch.eventlog.redis import RedisLog
from tests.support.source import ROOT
from tests.support.waiting import eventually

IDLE_WINDOW_S = 1
FOLDER = {
    "__init__.py": '"""Writes down which alerts there were."""\n',
    "settings.py": '''
        """What the tally is told."""

        from dataclasses import dataclass
        from pathlib import Path

        from linewatch.settings import path, setting


        @dataclass(frozen=True, slots=True)
        class Settings:
            """What the tally needs."""

            file: Path = setting("TALLY_FILE", path, None, "the file that alerts are written to")
        ''',
    "app.py": '''
        """The tally over HTTP: alerts in, lines of a file out."""

        import os

        from linewatch.serving.function import Function, FunctionMetrics, begin, routed
        from linewatch.tally.settings import Settings


        class Tally:
            """Writes each alert's id to *file*."""

            def __init__(self, file):
                self.file = file

            def take(self, event):
                with self.file.open("a") as lines:
                    lines.write(event.get_id() + "\\n")
                return "", 204, {}

            def check(self):
                """Nothing is needed."""


        def create(env=None):
            settings, _ = begin("tally", Settings, os.environ if env is None else env)
            return routed(Function(Tally(settings.file), FunctionMetrics("tally")))
        ''',
}
MANIFEST = """
    # The tally of alerts: it publishes nothing, so it has no SinkBinding.
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: tally-topics
    data:
      dead-tally: "12"
    ---
    apiVersion: sources.knative.dev/v1
    kind: KafkaSource
    metadata:
      name: tally
      annotations:
        linewatch/publishes: nothing
    spec:
      topics: [alerts]
      bootstrapServers: [kafka:9092]
      consumerGroup: linewatch-tally
      initialOffset: earliest
      ordering: unordered
      delivery:
        retry: 24
        backoffPolicy: linear
        backoffDelay: PT1S
        deadLetterSink:
          ref: {apiVersion: v1, kind: Service, name: deadletters}
          uri: /dead-tally
      sink:
        ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: tally}
    """


@pytest.fixture(name="tree", scope="module")
def _tree(tmp_path_factory):
    """The project with a third function: a folder and a manifest, and nothing else."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("functions", "eventing", "infra"):
        skip = shutil.ignore_patterns("__pycache__", "recordings")
        shutil.copytree(ROOT / folder, tree / folder, ignore=skip)
    for name, text in FOLDER.items():
        file = tree / "functions" / "linewatch" / "tally" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
    (tree / "eventing" / "600-tally.yaml").write_text(dedent(MANIFEST).lstrip("\n"))
    return tree


def ran(tree, *command, **env):
    """Run a command in the tree and return it."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tree}/functions:{tree}", **env}
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)


def test_topology_knows_it(tree):
    """The check of the manifests takes it, and shows its way."""
    done = ran(tree, sys.executable, "-m", "eventing.topology")
    assert done.returncode == 0, done.stderr
    assert "alerts -> tally (unordered) -> tally -> nothing\n" in done.stdout


def test_image_can_start_it(tree):
    """The image's entrypoint knows the role."""
    done = ran(tree, "sh", "infra/image/entrypoint.sh", "nobody")
    assert "tally" in done.stderr.split()


def test_launcher_checks_its_settings(tree):
    """The launcher refuses to start where one of its settings is missing."""
    code = "from infra.launcher import roles; roles.check({})"
    done = ran(tree, sys.executable, "-c", code)
    assert "TALLY_FILE must be set: the file that alerts are written to" in done.stderr


@pytest.fixture(name="delivery")
def _delivery(tree, tmp_path, redis_url):
    """Activator and dispatcher of the tree, as the launcher runs them; the file it writes."""
    port, file = free_port(), tmp_path / "tally"
    env = {
        **os.environ,
        "PYTHONPATH": f"{tree}/functions:{tree}",
        "REDIS_URL": redis_url,
        "IDLE_WINDOW_S": str(IDLE_WINDOW_S),
        "TALLY_FILE": str(file),
        "SERVICE_URL": f"http://127.0.0.1:{port}/{{name}}",
    }
    processes = [
        subprocess.Popen([sys.executable, "-m", f"eventing.{name}"], cwd=tree, env={**env, **own})
        for name, own in (("activator", {"PORT": str(port)}), ("dispatcher", {}))
    ]
    yield file
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(60)


def alert(number):
    """Return an alert of call *number* as a record of its topic."""
    made = Alert("default", f"call-{number}", "rude", Severity.WARNING, "x", 1, 1_767_225_600_000)
    return events.to_record(events.call_alert(made))


def test_it_scales_from_zero(delivery, redis_url):
    """It has no process, gets one for an event, loses it when idle, and gets another."""
    log, client = RedisLog.at(redis_url), redis.Redis.from_url(redis_url, protocol=2)

    def shown(name):
        return client.hget(keys.health("functions"), f"tally.{name}")

    eventually(lambda: shown("replicas") == b"0")
    for number in (1, 2):
        log.publish([alert(number)])
        eventually(lambda number=number: lines(delivery) == number)
        eventually(lambda: shown("replicas") == b"0")
        assert shown("cold_starts") == str(number).encode()
    log.close()
    client.close()


def lines(file):
    """How many alerts were written down."""
    return len(file.read_text().splitlines()) if file.exists() else 0
