"""The shape of the project: who may import whom, who owns which library, and the style bar."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import source

PARTS = ("decoder", "sentiment", "board", "gateway")
CONTRACT = (
    *("errors", "names", "calls", "moments", "envelopes", "events", "payloads"),
    *("settings", "keys", "step_requests"),
)
FORBIDDEN_NAMES = {"utils", "util", "common", "core", "helpers", "helper", "misc"}
APPS = {f"functions/linewatch/{part}/app.py" for part in PARTS}
OWNERS = {
    "vosk": {"functions/linewatch/decoder/recognition/recognizer.py"},
    "redis": {
        "functions/linewatch/decoder/store/scripts.py",
        "functions/linewatch/decoder/store/access.py",
        "functions/linewatch/decoder/outbox/relay.py",
        "functions/linewatch/board/store.py",
        "functions/linewatch/eventlog/redis.py",
        "functions/linewatch/eventlog/redis_connections.py",
        "functions/linewatch/eventlog/redis_writer.py",
    },
    "kafka": {
        "functions/linewatch/eventlog/brokers.py",
        "functions/linewatch/eventlog/kafka.py",
        "functions/linewatch/eventlog/kafka_member.py",
        "functions/linewatch/eventlog/kafka_topics.py",
        "functions/linewatch/eventlog/kafka_writer.py",
    },
    "gunicorn": {
        "functions/linewatch/serving/whole_request.py",
        "functions/linewatch/serving/worker.py",
        "functions/linewatch/serving/server.py",
    },
    "h11": {"functions/linewatch/serving/arrival.py"},
    "pycurl": {"functions/linewatch/sending/sink.py"},
    "opentelemetry": {"functions/linewatch/tracing/otlp.py"},
    "spacy": {"functions/linewatch/sentiment/scorer.py"},
    "spacytextblob": {"functions/linewatch/sentiment/scorer.py"},
    "streamlit": {"streamlit_app/app.py", "streamlit_app/__main__.py"},
    "flask": APPS
    | {
        "functions/linewatch/decoder/http/answers.py",
        "functions/linewatch/serving/function.py",
        "eventing/sink.py",
        "eventing/deadletters.py",
        "eventing/activator.py",
    },
}
METRICS = source.ROOT / "tests" / "support" / "style_metrics.py"
LOCKS = ("requirements.txt", "tests/requirements.txt")
DEV_ONLY = "dev"


def typing_only(module):
    """Names that a module imports for type checkers only."""
    found = set()
    for node in ast.walk(source.tree_of(source.ROOT / module.path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in inner.names}
                elif isinstance(inner, ast.ImportFrom) and inner.module:
                    found.add(inner.module.partition(".")[0])
    return found


def offenders(rule):
    """The (importer, imported) pairs of the project that break a rule."""
    return sorted(
        f"{module.path} imports {other}"
        for module in source.modules().values()
        for other in source.imported(module)
        if rule(module.name, other)
    )


def part_of(name):
    """The part of Linewatch a module belongs to, or ""."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[0] == "linewatch" and pieces[1] in PARTS else ""


def test_parts_never_meet():
    """Decoder, sentiment, board and gateway never import each other."""
    assert offenders(lambda a, b: part_of(a) and part_of(b) and part_of(a) != part_of(b)) == []


def test_road_knows_no_part():
    """What carries the events imports none of the parts that they are for."""
    assert offenders(lambda a, b: a.split(".")[0] == "eventing" and part_of(b)) == []
    assert offenders(lambda a, b: a.startswith("linewatch.eventlog") and part_of(b)) == []


def test_words_depend_on_audio_only():
    """What decides the words imports nothing of who owns a call or where it is kept."""
    inside = "linewatch.decoder.recognition"
    beside = "linewatch.decoder."
    found = offenders(
        lambda a, b: a.startswith(inside) and b.startswith(beside) and not b.startswith(inside)
    )
    assert found == []


def test_contract_looks_down_only():
    """The contract imports none of the parts, and values know nothing of events."""
    contract = {f"linewatch.{name}" for name in CONTRACT}
    assert contract <= set(source.modules())
    assert offenders(lambda a, b: a in contract and part_of(b)) == []
    below = {
        "linewatch.calls": {"linewatch.errors", "linewatch.names"},
        "linewatch.names": {"linewatch.errors"},
        "linewatch.moments": set(),
        "linewatch.errors": set(),
    }
    assert offenders(lambda a, b: a in below and b not in {*below[a], "linewatch"}) == []


def test_functions_stand_alone():
    """Nothing in functions/ imports what surrounds it."""
    outside = {"eventing", "infra", "streamlit_app", "tests"}
    found = [
        f"{module.path} imports {name}"
        for module in source.modules().values()
        if module.path.parts[0] == "functions"
        for name in module.libraries & outside
    ]
    assert found == []


def test_functions_find_no_files_outside():
    """Nothing in functions/ builds a path to what surrounds it."""
    outside = ("infra", "eventing", "streamlit_app", "tests")
    found = [
        f"{module.path}: {node.value!r}"
        for module in source.modules().values()
        if module.path.parts[0] == "functions"
        for node in ast.walk(source.tree_of(source.ROOT / module.path))
        if isinstance(node, ast.Constant) and node.value in outside
    ]
    assert found == []


def test_deploy_needs_no_library():
    """The deploy imports Python's own library and ours only: it runs without the environment."""
    reached = {name for name in source.modules() if name.startswith("infra.deploy.")}
    waiting = list(reached)
    while waiting:
        new = source.imported(source.modules()[waiting.pop()]) - reached
        reached |= new
        waiting += new
    known = sys.stdlib_module_names | {"infra", "linewatch"}
    libraries = {
        name: module.libraries - typing_only(module) - known
        for name, module in source.modules().items()
        if name in reached
    }
    assert {name: found for name, found in libraries.items() if found} == {}


def test_browser_is_for_tests():
    """Playwright drives a browser for tests, and nothing that ships imports it."""
    found = [str(m.path) for m in source.modules().values() if "playwright" in m.libraries]
    assert found == []


def test_tests_do_not_ship():
    """Nothing that ships imports the tests or their tools."""
    tools = {"tests", "pytest", "hypothesis", "jsonschema"}
    found = [str(m.path) for m in source.modules().values() if m.libraries & tools]
    assert found == []


@pytest.mark.parametrize("library", OWNERS)
def test_library_has_one_owner(library):
    """A library is imported by its owners only; a name for type checkers does not count."""
    users = {
        module.path.as_posix()
        for module in source.modules().values()
        if library in module.libraries - typing_only(module)
    }
    assert users <= OWNERS[library]


def test_no_grab_bag_modules():
    """Files are named by the noun they own."""
    found = [name for name in source.modules() if FORBIDDEN_NAMES & set(name.split("."))]
    assert found == []


def test_no_import_cycles():
    """No module imports itself, by whatever way round."""
    state, loops = {}, []

    def visit(name, road):
        state[name] = "open"
        for other in sorted(source.imported(source.modules()[name])):
            if state.get(other) == "open":
                loops.append(" -> ".join([*road[road.index(other) :], other]))
            elif other not in state:
                visit(other, [*road, other])
        state[name] = "done"

    for name in sorted(source.modules()):
        if name not in state:
            visit(name, [name])
    assert loops == []


def test_imports_are_seen():
    """The reader of imports sees lazy ones and those of a package's own name (it can fail)."""
    probes = source.modules()["infra.local"]
    assert {
        "infra.launcher.roles",
        "infra.launcher.supervisor.Supervisor",
        "linewatch.errors",
    } <= probes.imports
    assert "infra.launcher.roles" in source.imported(probes)
    assert offenders(lambda a, b: a == "infra.local" and b == "infra.launcher.roles") == [
        "infra/local.py imports infra.launcher.roles"
    ]


def test_every_test_states_fact():
    """Every test has a docstring of one paragraph that ends as a sentence does."""
    found = []
    for path, node in source.tests():
        fact = ast.get_docstring(node) or ""
        if not fact.endswith(".") or "\n\n" in fact:
            found.append(f"{path}::{node.name}")
    assert found == []


def test_tests_mirror_code():
    """Tests of a module lie where the module lies, but for those of the whole."""
    of_whole = {"bench", "chaos", "cluster", "e2e", "golden", "support"}
    shipped = {
        module.path.parent.relative_to("functions" if module.path.parts[0] == "functions" else "")
        for module in source.modules().values()
    }
    places = {path.relative_to("tests").parent for path, _ in source.tests()}
    strangers = {
        place for place in places if place.parts and place.parts[0] not in of_whole
    } - shipped
    assert strangers == set()


@pytest.mark.parametrize("page", ["Makefile", "docs/reliability.md"])
def test_named_tests_are_there(page):
    """The tests that the Makefile and the page on reliability name exist, whichever were moved."""
    named = re.findall(r"tests/[\w/]+\.py", (source.ROOT / page).read_text())
    assert len(named) > 1
    assert [each for each in named if not (source.ROOT / each).exists()] == []


def test_test_names_are_short():
    """A test's name is a few words: what it is about, the docstring states the fact."""
    found = [
        f"{path}::{node.name}"
        for path, node in source.tests()
        if not 2 <= len(node.name.removeprefix("test_").split("_")) <= 7
    ]
    assert found == []


def test_bar_is_kept():
    """The style bar of style.md holds."""
    measured = subprocess.run(
        [
            *(sys.executable, str(METRICS), "--limits"),
            "linewatch=functions,eventing,infra,streamlit_app:tests",
        ],
        cwd=source.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stdout + measured.stderr


def registry_hosts():
    """Hosts of the package registries this machine is set up to use."""
    named = [
        os.environ.get(name, "") for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
    ]
    for path in (os.environ.get("PIP_CONFIG_FILE"), "/etc/pip.conf", "~/.config/pip/pip.conf"):
        settings = configparser.RawConfigParser()
        settings.read(Path(path or "/nowhere").expanduser())
        named += [settings.get(part, "index-url", fallback="") for part in settings.sections()]
    return {host for host in (urlsplit(url).hostname for url in named) if host}


def test_no_machine_in_repo():
    """No committed text names a folder of this machine or the registry it installs from."""
    homes = {str(Path.home()), str(source.ROOT), str(source.ROOT.parent)} - {"/"}
    words = sorted({f"{home}/" for home in homes} | registry_hosts())
    found = [
        f"{name} holds {word}"
        for name, text in source.text_files().items()
        for word in words
        if word in text
    ]
    assert found == []


@pytest.mark.parametrize("lock", [*LOCKS, "infra/uv.txt"])
def test_lock_names_no_place(lock):
    """A lock names packages and hashes, never the index they came from."""
    text = source.text_files()[lock]
    assert re.findall(r"^--\S+|https?://\S+", text, re.MULTILINE) == []


def pinned(lock):
    """What a lock pins: name -> version; each with at least one hash."""
    text = source.text_files()[lock].replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and line[0] not in "# ":
            assert "--hash=sha256:" in line, line
            requirement = Requirement(line.partition("--hash")[0].strip())
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    return found


def wanted(*, dev):
    """What pyproject.toml asks for, in ranges."""
    project = tomllib.loads(source.text_files()["pyproject.toml"])["project"]
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *(extras[name] for name in extras if dev or name != DEV_ONLY)]
    return [Requirement(line) for asked in lists for line in asked]


@pytest.mark.parametrize(("lock", "dev"), [(LOCKS[0], False), (LOCKS[1], True)])
def test_lock_is_in_step(lock, dev):
    """Everything pyproject.toml asks for is pinned, at a version in its range."""
    pins = pinned(lock)
    for asked in wanted(dev=dev):
        version = pins.get(canonicalize_name(asked.name))
        assert version, f"{asked.name} is not in {lock}: run `make lock`"
        assert asked.specifier.contains(version), f"{asked}: {lock} has {version}"


def test_locks_agree():
    """What runs and what is tested are the same versions."""
    running, testing = (pinned(lock) for lock in LOCKS)
    assert running.items() <= testing.items()
