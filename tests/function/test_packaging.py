"""What `kn func` needs beside the code: func.yaml, .funcignore, pyproject and the lock."""

from __future__ import annotations

import json
import re
import tomllib

import jsonschema
import pytest
import yaml

from tests.support.source import ROOT

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@pytest.fixture(name="func")
def _func():
    """func.yaml, its date as text as JSON has it."""
    return yaml.load((ROOT / "func.yaml").read_text(), yaml.BaseLoader)


@pytest.fixture(name="ignored")
def _ignored():
    """The patterns of .funcignore."""
    lines = (ROOT / ".funcignore").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.fixture(name="project")
def _project():
    """The [project] table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _schema():
    """Func's own schema of func.yaml."""
    return json.loads((ROOT / "tests/schemas/knative/func_yaml-schema.json").read_text())


def test_func_yaml_meets_schema():
    """Func accepts func.yaml, unknown keys and wrong types included."""
    text = re.sub(r"(created: )(\S+)", r'\1"\2"', (ROOT / "func.yaml").read_text())
    jsonschema.Draft4Validator(_schema()).validate(yaml.safe_load(text))


def test_schema_check_can_fail(shared, func):
    """The schema check sees a key that func does not know."""
    wrong = {"specVersion": "0.36.0", "created": func["created"], "timeoutSeconds": 300}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(_schema()).validate(wrong)


def test_func_reads_http(func):
    """The function speaks HTTP itself: with cloudevent func would answer 500 for a 204."""
    assert (func["runtime"], func["invoke"]) == ("python", "http")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", func["created"])


def test_func_scales_to_zero(func):
    """No process stays when nobody speaks, and a backlog does not start a second one."""
    options = func["deploy"]["options"]
    assert options["scale"]["min"] == "0"
    assert options["resources"]["limits"]["concurrency"] == "200"


def test_sink_gives_up_first(func):
    """The POST to the sink times out before the KafkaSource's delivery (30 s) does."""
    envs = {env["name"]: env["value"] for env in func["run"]["envs"]}
    assert float(envs["SINK_TIMEOUT_S"]) < 30


def test_annotations_stay_out(func):
    """Serving refuses autoscaling annotations that func would set on the Service."""
    assert "annotations" not in func["deploy"]


def test_lock_is_not_built(ignored):
    """requirements.txt stays out of the build: it selects the wrong buildpacks."""
    assert "/requirements.txt" in ignored
    assert not (ROOT / "Procfile").exists()


def test_build_gets_what_it_needs(ignored, project):
    """Neither the code nor what pyproject names is left out of the build."""
    needed = {"functions", "pyproject.toml", "func.yaml", project["readme"]}
    assert not needed & {pattern.strip("/") for pattern in ignored}


def test_caches_stay_out(ignored):
    """What git ignores is not sent to the build either: func does not read .gitignore."""
    lines = (ROOT / ".gitignore").read_text().split()
    assert {line.strip("/") for line in lines} <= {pattern.strip("/") for pattern in ignored}


def test_own_image_plays_sentiment(func):
    """Deployed by digest, with no command of func's, our image knows its role."""
    envs = {env["name"]: env["value"] for env in func["run"]["envs"]}
    assert envs["ROLE"] == "sentiment"


def test_distribution_is_named_function(project):
    """Func's scaffold asks for a distribution of this name."""
    assert project["name"] == "function"


def test_function_has_only_its_own(project):
    """The function's install brings no dashboard, decoder or store along."""
    names = {_canonical(_NAME.match(line)[0]) for line in project["dependencies"]}
    assert not names & {"streamlit", "pandas", "vosk", "redis", "kafka-python", "gunicorn"}


def test_lock_follows_pyproject(project):
    """Every dependency of every role is pinned in requirements.txt, with a hash."""
    extras = project["optional-dependencies"]
    roles = [lines for name, lines in extras.items() if name != "dev"]
    wanted = {
        _canonical(_NAME.match(line)[0])
        for lines in [project["dependencies"], *roles]
        for line in lines
    }
    lock = (ROOT / "requirements.txt").read_text()
    pinned = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==\S+ \\\n +--hash=", lock, re.MULTILINE)
    assert wanted <= {_canonical(name) for name in pinned}
